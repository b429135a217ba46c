"""A small random base in a folder, and loading with every cache below ``tmp_path``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.scratch import byte_tokenizer, scratch_config, scratch_model
from bakeoff.base.weights.sources import Source, load_source

SAVED_SEED = 20240229


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def call(reference: str, **options: Any) -> Source:
        return load_source(reference, root=tmp_path, cache_dir=tmp_path / "cache", **options)

    return call


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untied random Llama with a byte tokenizer; never written to by a test."""
    folder = tmp_path_factory.mktemp("saved")
    config = scratch_config("scratch:tiny-llama")
    config.tie_word_embeddings = False
    with silence_libraries():
        scratch_model(config, SAVED_SEED).save_pretrained(folder)
        byte_tokenizer(256).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of ``saved`` under the root, named ``base``, for a test to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "base"))
