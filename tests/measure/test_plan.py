"""What ``bakeoff plan`` says, and that it trains nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.base.devices import GpuProfile, present_profile, standing_for
from bakeoff.config import dump_yaml
from bakeoff.engine import slots
from bakeoff.engine.backends import memory
from bakeoff.engine.backends.memory import rows_that_fit
from bakeoff.engine.slots import MOST_SLOTS
from bakeoff.errors import ConfigError
from bakeoff.measure import plan as plan_module
from bakeoff.measure.cards import CARDS, LAUNCH_SECONDS, card_named
from bakeoff.measure.plan import make_plan
from bakeoff.measure.time_estimate import epochs_at_most
from bakeoff.measure.traced import Predictor
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import open_workbench, schedule_of
from tests.studies import telling

Run = Callable[..., Any]
TWO = {"lora": {"rank": 2}, "head": {}}
pytestmark = pytest.mark.usefixtures("quick_plans")


@pytest.fixture
def plan_small(place: Path, cli: Callable[..., Any]) -> Run:
    def call(*arguments: object, **changes: Any) -> Any:
        from tests.studies import small_study

        file = place / "study.yaml"
        file.write_text(dump_yaml(small_study(**changes)), encoding="utf-8")
        return cli("plan", file, *arguments)

    return call


def test_the_plan_names_every_cost_of_every_method(plan_small: Run, place: Path) -> None:
    outcome = plan_small("--json", methods=TWO)
    assert outcome.code == 0, outcome.err
    plan = json.loads(outcome.out)
    assert plan["basis"] == "timed here"
    assert plan["fits"] is True and plan["remedy"] is None
    assert list(plan["methods"]) == ["lora", "head"]
    for row in plan["methods"].values():
        assert row["peak_memory_bytes"] > row["slot_memory_bytes"] > 0
        assert row["adapter_bytes"] > 4 * row["trainable_parameters"]
        assert row["epoch_seconds"]["mean"] > 0
        assert row["generation_rows_per_second"] > 0
        assert row["token_latency_seconds"] > 0
        assert (row["candidates"], row["epochs"], row["slots"]) == (1, 1, 1)
        assert row["slots_that_fit"] > 1
    wall = plan["wall_seconds"]
    assert wall["total"] == pytest.approx(sum(v for k, v in wall.items() if k != "total"))
    assert not (place / "runs").exists()


def test_a_learning_curve_is_counted(plan_small: Run) -> None:
    curve = {"learning_curve": [4, 8, 100], "protocol": {"epochs": 2, "seeds": [0, 1, 2]}}
    outcome = plan_small("--json", methods=TWO, **curve)
    assert outcome.code == 0, outcome.err
    plan = json.loads(outcome.out)
    work = plan["learning_curve"]
    assert (work["sizes"], work["candidates"]) == ([4, 8], 2 * 3 * 2)
    # All rows are of one width, so their tokens are as many as their rows.
    assert work["share"] == pytest.approx((4 + 8) / 16)
    assert plan["wall_seconds"]["learning_curve"] > 0
    wall = plan["wall_seconds"]
    assert wall["total"] == pytest.approx(sum(v for k, v in wall.items() if k != "total"))
    assert any("100 left out" in note for note in plan["notes"])
    told = " ".join(plan_small(methods=TWO, **curve).out.split())
    assert "The learning curve trains 12 candidates more, on 4 and 8 rows" in told
    assert "learning curve" in told.partition("at most about")[2]


def test_the_terminal_shows_a_table_and_a_total(plan_small: Run) -> None:
    outcome = plan_small(methods=TWO)
    assert outcome.code == 0, outcome.err
    for part in ("lora", "head", "memory", "epoch", "The whole study: at most about", "It fits."):
        assert part in outcome.out


def test_a_card_that_is_not_here_is_an_estimate_and_says_so(plan_small: Run) -> None:
    plan = json.loads(plan_small("--json", "--gpu", "a100-40gb", precision="auto").out)
    assert plan["basis"] == "estimated"
    assert plan["device"]["name"] == "A100-40GB"
    assert plan["device"]["precision"] == "bfloat16"
    assert plan["device"]["available_bytes"] == CARDS["A100-40GB"].usable_bytes
    assert plan["methods"]["lora"]["epoch_seconds"]["mean"] > 0
    told = plan_small("--gpu", "T4", precision="auto").out
    assert "T4, float16" in told
    assert "All times are estimates, never measured" in " ".join(told.split())


def test_slots_and_rows_of_a_card_follow_from_the_card(
    plan_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from the memory and the cores of the machine that plans."""
    changes = {"protocol": {"seeds": list(range(40))}, "slots": "auto", "methods": TWO}
    found = []
    for free in (1 << 20, 1 << 40):
        monkeypatch.setattr(
            "bakeoff.engine.backends.memory.available_bytes", lambda free=free: free
        )
        plan = json.loads(plan_small("--json", "--gpu", "T4", **changes).out)
        found.append(plan["methods"])
    assert found[0] == found[1]
    assert found[0]["lora"]["slots"] == MOST_SLOTS
    assert CARDS["T4"].profile() == GpuProfile(is_ampere=False, free_bytes=CARDS["T4"].usable_bytes)
    assert CARDS["A10"].profile().is_ampere


def test_slots_and_rows_of_a_card_are_those_of_the_format_that_it_computes_in(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base of shapes that a plan has is in float32, whatever the study computes in."""
    from tests.studies import small_study

    changes = {"protocol": {"seeds": list(range(40))}, "slots": "auto", "precision": "bfloat16"}
    bench = open_workbench(
        study_from_mapping(small_study(**changes), folder=place), "cpu", meta=True
    )
    schedule = schedule_of(study_from_mapping(small_study(**changes), folder=place), bench)
    monkeypatch.setattr(slots, "_MEMORY_SHARE", 1e-3)
    monkeypatch.setattr(memory, "_MEMORY_SHARE", 1e-3)
    found: list[tuple[int, int]] = []
    sizes: list[GpuProfile | None] = []

    def chosen() -> tuple[int, int]:
        return bench.num_slots(schedule.candidates), rows_that_fit(bench.base, 4096)

    def fitted(*_: object) -> None:
        found.append(chosen())
        sizes.append(present_profile())
        raise InterruptedError

    monkeypatch.setattr(plan_module, "fitted", fitted)
    with pytest.raises(InterruptedError):
        make_plan(bench, schedule, CARDS["A10"])
    [profile] = sizes
    assert profile is not None
    assert bench.base.compute_dtype == torch.float32
    by_format = {}
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr(bench.base, "compute_dtype", dtype)
        with standing_for(replace(CARDS["A10"].profile(), free_bytes=profile.free_bytes)):
            by_format[dtype] = chosen()
    assert found == [by_format[torch.bfloat16]]
    assert 1 < by_format[torch.float32][0] < by_format[torch.bfloat16][0] < MOST_SLOTS
    assert by_format[torch.float32][1] < by_format[torch.bfloat16][1]


def test_a_study_that_does_not_fit_is_planned_and_told(
    plan_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bakeoff.measure.fit.free_bytes", lambda device: 1 << 18)
    # Of one row, so that no smaller micro-batch has to be traced.
    one_row = {"protocol": {"micro_batch_size": 1, "grad_accum_steps": 8}}
    outcome = plan_small("--json", **one_row)
    plan = json.loads(outcome.out)
    assert outcome.code == 0
    assert plan["fits"] is False and plan["remedy"] == plan["remedies"][0]
    assert "fit" in plan["methods"]["lora"]["fits_alone"]
    assert plan["wall_seconds"] is None
    assert plan["methods"]["lora"]["epoch_seconds"] is None
    assert "It does not fit." in plan_small(**one_row).out


def test_a_method_that_cannot_be_traced_is_told_and_stops_nothing(
    plan_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Predictor.training

    def refusing(self: Predictor, entry: Any, label: str, rows: int, **options: Any) -> Any:
        if entry.name == "head":
            raise RuntimeError("cannot swap")
        return training(self, entry, label, rows, **options)

    monkeypatch.setattr(Predictor, "training", refusing)
    plan = json.loads(plan_small("--json", methods=TWO).out)
    assert list(plan["methods"]) == ["lora"] and plan["fits"] is True
    told = "head: cannot be planned, and is not counted (RuntimeError: cannot swap)"
    assert telling(plan["notes"]) == [told]
    assert told in " ".join(plan_small(methods=TWO).out.split())


def test_an_unknown_card_names_those_that_are_known(plan_small: Run) -> None:
    outcome = plan_small("--gpu", "B52")
    assert outcome.code == 2
    assert "'B52'" in outcome.message and "A100-80GB" in outcome.message


def test_cards_are_found_whatever_their_spelling() -> None:
    assert card_named("a100 80gb") is card_named("A100-80GB") is CARDS["A100-80GB"]
    with pytest.raises(ConfigError, match="not in the table"):
        card_named("A100")


def test_the_roofline_is_bound_by_what_is_slowest() -> None:
    card = CARDS["T4"]
    cost = card.cost()
    assert cost(1.0, 1.0, torch.float16) == LAUNCH_SECONDS
    assert cost(65e12, 1.0, torch.float16) == pytest.approx(1 / 0.4)
    assert cost(65e12, 1.0, torch.float32) == pytest.approx(65 / 8.1 / 0.4)
    assert cost(1.0, 320e9, torch.float16) == pytest.approx(1 / 0.7)


def test_every_card_has_sane_figures_and_a_source() -> None:
    for card in CARDS.values():
        assert card.half >= card.single > 0 and card.bandwidth > 100
        assert card.memory_gib >= 16 and "NVIDIA" in card.source
        assert card.half_dtype in (torch.bfloat16, torch.float16)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1, 9)),
        ({"protocol": {"epochs": 9, "seeds": [0, 1]}}, (2, 18)),
        # Six rates to epoch 3, three of them to 6, two to 9, and three fresh seeds.
        ({"search": {"learning_rates": 6, "seeds": 3}}, (9, 6 * 3 + 3 * 3 + 2 * 3 + 3 * 9)),
        ({"search": {"learning_rates": 4, "seeds": 1, "pruner": None}}, (5, 36 + 9)),
    ],
)
def test_epochs_follow_from_the_search(
    place: Path,
    small: Callable[..., dict[str, Any]],
    changes: dict[str, Any],
    expected: tuple[int, int],
) -> None:
    given = {"protocol": {"epochs": 9}, **changes}
    study = study_from_mapping(small(**given), folder=place)
    schedule = schedule_of(study, open_workbench(study, "cpu"))
    assert epochs_at_most(schedule, "lora") == expected
