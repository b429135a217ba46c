"""Bases by their shapes alone, for plans: no weight is read, and every shape is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bakeoff.base.weights.sources import TINY_REFERENCE, load_source


@pytest.mark.parametrize("reference", [TINY_REFERENCE, "scratch:tiny-llama"])
def test_shapes_and_names_are_those_of_the_loaded_base(reference: str, tmp_path: Path) -> None:
    loaded, meta = (
        load_source(reference, root=tmp_path, cache_dir=tmp_path, meta=meta)
        for meta in (False, True)
    )
    assert {n: p.shape for n, p in meta.model.named_parameters()} == {
        n: p.shape for n, p in loaded.model.named_parameters()
    }
    assert all(p.is_meta for p in meta.model.parameters())
    assert meta.description == loaded.description
    assert meta.tokenizer.get_vocab() == loaded.tokenizer.get_vocab()
    assert meta.fingerprint == "" != loaded.fingerprint


def test_no_weight_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bakeoff.base.weights.sources.load_model", None)
    monkeypatch.setattr("bakeoff.base.weights.sources.folder_fingerprint", None)
    source = load_source(TINY_REFERENCE, root=tmp_path, cache_dir=tmp_path, meta=True)
    assert source.model.dtype == torch.float32 and not source.model.training
