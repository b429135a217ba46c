"""A plan with the base in 16, 8 and 4 bits, from its configuration alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.base.devices import standing_for
from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import scratch_config
from bakeoff.base.weights.sources import load_source
from bakeoff.config import dump_yaml
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.cards import CARDS
from bakeoff.measure.fit import fitted, needs_of
from bakeoff.measure.traced import Predictor
from bakeoff.search.schedule import first_candidates
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench
from tests.studies import small_study

pytest.importorskip("bitsandbytes")


@pytest.fixture
def bare(place: Path) -> Path:
    """A folder with a configuration and nothing else."""
    folder = place / "bare"
    scratch_config("scratch:tiny-llama").save_pretrained(folder)
    assert [file.name for file in folder.iterdir()] == ["config.json"]
    return folder


def planned(place: Path, cli: Callable[..., Any], *arguments: str, **changes: Any) -> Any:
    study = small_study(**{"precision": "auto", **changes})
    (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
    outcome = cli("plan", "study.yaml", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_a_configuration_alone_is_planned_in_every_precision(
    bare: Path, place: Path, cli: Callable[..., Any]
) -> None:
    plan = planned(place, cli, "--gpu", "T4", base=str(bare))
    held = {row["quantization"]: row for row in plan["held"]}
    assert list(held) == ["none", "int8", "nf4"]
    source = load_source("scratch:tiny-llama", root=place, cache_dir=place)
    for kind, row in held.items():
        base: Any = Base(source, device=torch.device("cpu"), dtype=torch.float16, quantization=kind)
        assert row["base_bytes"] == base.held_bytes
        assert row["precision"] == "float16" and row["method"] == "lora"
        assert row["peak_memory_bytes"] > row["base_bytes"] and 0 < row["left"] < 1
        assert row["cards"] == list(CARDS)
    assert held["nf4"]["base_bytes"] < held["int8"]["base_bytes"] < held["none"]["base_bytes"]
    # Four bits as the study's own are traced alike.
    own = planned(place, cli, "--gpu", "T4", base=str(bare), quantization="nf4")
    assert own["held"] == plan["held"]
    assert own["methods"]["lora"]["peak_memory_bytes"] == held["nf4"]["peak_memory_bytes"]


def test_methods_that_need_a_whole_base_are_planned_with_one(
    place: Path, cli: Callable[..., Any]
) -> None:
    plan = planned(place, cli, methods={"head": {}})
    assert [row["quantization"] for row in plan["held"]] == ["none"]


def test_micro_batches_are_joined_on_a_gpu_where_that_is_asked_for_and_fits(place: Path) -> None:
    changes = {"protocol": {"micro_batch_size": 1, "grad_accum_steps": 8}, "slots": 1}
    card = CARDS["A100-80GB"]

    def opened(**engine: Any) -> Workbench:
        study = study_from_mapping(small_study(**changes, engine=engine), folder=place)
        return open_workbench(study, "cpu")

    plain, asking = opened(), opened(join_micro_batches=True)
    predictor, schedule = Predictor(asking, gpu=card.profile()), first_candidates(asking, None)
    with standing_for(card.profile()):
        [need] = needs_of(plain, Predictor(plain, gpu=card.profile()), schedule)
        assert need.joined is None
        same, [more], fit = fitted(asking, predictor, schedule, card.usable_bytes)
        assert same is asking and more.joined is not None and not fit.remedies
        assert (more.joined.rows, more.alone) == (8, need.alone)
        assert more.bytes > need.bytes
        changed, [less], fit = fitted(asking, predictor, schedule, more.bytes - 1)
    assert not changed.engine.join_micro_batches and changed.plans is asking.plans
    assert (less.joined, less.bytes) == (None, need.bytes) and not fit.remedies
    # On a CPU each is a pass of its own.
    [need] = needs_of(asking, Predictor(asking), schedule)
    assert need.joined is None


def test_activations_are_computed_again_where_nothing_else_fits(place: Path) -> None:
    changes = {"protocol": {"micro_batch_size": 1, "grad_accum_steps": 8}}
    bench = open_workbench(study_from_mapping(small_study(**changes), folder=place), "cpu")
    predictor, schedule = Predictor(bench), first_candidates(bench, None)
    [need] = needs_of(bench, predictor, schedule)
    same, _, fit = fitted(bench, predictor, schedule, need.bytes)
    assert same is bench and not fit.remedies
    changed, [less], fit = fitted(bench, predictor, schedule, need.bytes - 1)
    assert changed.engine == EngineOptions(gradient_checkpointing=True)
    assert less.bytes < need.bytes and not fit.remedies
