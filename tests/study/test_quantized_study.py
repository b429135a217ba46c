"""The precision of the base as a factor of a study: 16 bits, 8 and 4 side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from bakeoff.config import load_yaml
from bakeoff.errors import ConfigError
from bakeoff.report.table import build_rows
from bakeoff.runs.reading import read_results
from bakeoff.study.loading import study_from_mapping
from tests.studies import Outcome, small_study

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.usefixtures("quick")

METHODS: dict[str, Any] = {
    "lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2},
    "qlora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2, "quantization": "nf4"},
    "q8": {"kind": "ia3", "learning_rate": 1e-2, "quantization": "int8"},
}


@pytest.fixture
def study(place: Path) -> Path:
    few = {"max_new_tokens": 2}
    content = small_study(methods=METHODS, protocol={"seeds": [0, 1, 2]}, generation=few)
    (place / "study.yaml").write_text(json.dumps(content), encoding="utf-8")
    return place / "study.yaml"


def test_a_study_compares_precisions_of_the_base(
    study: Path, place: Path, cli: Callable[..., Outcome]
) -> None:
    outcome = cli("run", study, "--out", "out", "--device", "cpu")
    assert outcome.code == 0, outcome.err
    results = read_results(place / "out")
    held = {name: record.quantization for name, record in results.methods.items()}
    assert held == {"lora": "none", "qlora": "nf4", "q8": "int8"}
    # No pass is over two bases.
    cohorts: dict[str, set[str]] = {}
    events = (place / "out" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    for event in map(json.loads, events):
        job = event.get("job")
        if job and job["kind"] in ("train", "test"):
            methods = {seat["spec"]["method"] for seat in job["seats"]}
            cohorts.setdefault(job["group"], set()).update(methods)
    assert cohorts == {
        "base,lora": {"lora"},
        "base,lora,quantization=nf4": {"qlora"},
        "base,ia3,quantization=int8": {"q8"},
    }
    pairs = {frozenset((c.a, c.b)) for c in results.comparisons}
    assert frozenset(("lora", "qlora")) in pairs
    assert all(record.cost.epoch_seconds for record in results.methods.values())
    labels = [row.label for row in build_rows(results) if not row.is_baseline]
    assert labels == ["lora", "qlora (nf4)", "q8 (int8)"]
    kept = load_yaml((place / "out" / "study.yaml").read_text(), where="study.yaml")
    assert kept["methods"]["qlora"]["quantization"] == "nf4"
    assert "quantization" not in kept["methods"]["lora"] and kept["quantization"] == "none"
    # Nothing is left to do, and nothing is taken for another study.
    assert cli("run", study, "--out", "out", "--device", "cpu").code == 0

    adapter = next(n for n in results.methods["qlora"].candidates)
    settings = place / "out" / "candidates" / adapter / "adapter" / "adapter_config.json"
    assert json.loads(settings.read_text())["base_quantization"] == "nf4"
    plain = next(n for n in results.methods["lora"].candidates)
    settings = place / "out" / "candidates" / plain / "adapter" / "adapter_config.json"
    assert "base_quantization" not in json.loads(settings.read_text())

    exported = cli("export", "out", "--candidate", adapter, "--to", "merged", "--out", "merged")
    assert exported.code == 0, exported.err
    content = json.loads((place / "merged" / "bakeoff_merge.json").read_text())
    assert content["base_quantization"] == "nf4" and content["format"] == "bfloat16"
    before, after = content["val_nll_before"], content["val_nll_after"]
    assert content["validation_rows"] > 0 and abs(before - after) <= 0.02 * before
    # A conversion is measured over the base that the candidate was trained over.
    as_lora = ("export", "out", "--candidate", adapter, "--to", "lora", "--rank", 1)
    assert cli(*as_lora, "--out", "as_lora").code == 0
    drift = json.loads((place / "as_lora" / "bakeoff_conversion.json").read_text())
    assert drift["nll_before"] == pytest.approx(before, abs=1e-6)

    auto: Any = AutoModelForCausalLM
    merged = auto.from_pretrained(place / "merged", dtype="auto")
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}


def test_a_study_may_hold_its_base_in_four_bits_for_all(
    place: Path, cli: Callable[..., Outcome]
) -> None:
    content = small_study(quantization="nf4", generation={"max_new_tokens": 2})
    (place / "study.yaml").write_text(json.dumps(content), encoding="utf-8")
    assert cli("run", "study.yaml", "--out", "out", "--device", "cpu").code == 0
    assert read_results(place / "out").methods["lora"].quantization == "nf4"


@pytest.mark.parametrize("kind", ["full", "head", "last_layers"])
def test_what_trains_the_bases_own_weights_is_refused(place: Path, kind: str) -> None:
    for changes in (
        {"methods": {"m": {"kind": kind, "quantization": "nf4"}}},
        {"methods": {"m": {"kind": kind}}, "quantization": "int8"},
    ):
        with pytest.raises(ConfigError, match=rf"methods\.m: {kind} cannot be trained over a base"):
            study_from_mapping(small_study(**changes), folder=place)
    allowed = {"m": {"kind": kind, "quantization": "none"}, "lora": {"kind": "lora"}}
    study_from_mapping(small_study(methods=allowed, quantization="nf4"), folder=place)


def test_an_unknown_precision_is_named(place: Path) -> None:
    wrong = {"lora": {"kind": "lora", "quantization": "int4"}}
    with pytest.raises(ConfigError, match=r"methods\.lora\.quantization: 'int4'.*none, int8, nf4"):
        study_from_mapping(small_study(methods=wrong), folder=place)
    with pytest.raises(ConfigError, match=r"quantization"):
        study_from_mapping(small_study(quantization="int4"), folder=place)


def test_without_bitsandbytes_the_extra_is_named(
    place: Path, cli: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'bitsandbytes'")

    monkeypatch.setattr("bakeoff.base.quantized.storage._imported", missing)
    (place / "study.yaml").write_text(json.dumps(small_study(quantization="nf4")))
    outcome = cli("run", "study.yaml", "--out", "out", "--device", "cpu")
    assert outcome.code != 0 and "bakeoff[quantization]" in outcome.err
