"""What a plan names where a study does not fit: each change does make it fit."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakeoff.base.devices import standing_for
from bakeoff.base.weights.scratch import scratch_config
from bakeoff.config import dump_yaml
from bakeoff.measure import quantizing
from bakeoff.measure.cards import CARDS, Card
from bakeoff.measure.fit import Fit, fitted
from bakeoff.measure.needs import Need
from bakeoff.measure.plan import predictor_for
from bakeoff.measure.quantizing import OverQuantized
from bakeoff.measure.remedies import Fitting, remedies_of
from bakeoff.study.loading import load_study
from bakeoff.study.opening import open_workbench, schedule_of
from tests.studies import small_study

WITH_FULL: dict[str, Any] = {
    "lora": {"rank": 2, "learning_rate": 1e-2},
    "full": {"learning_rate": 1e-4},
}
TWO_BASES: dict[str, Any] = {
    "lora": {"rank": 2, "learning_rate": 1e-2, "quantization": "none"},
    "qlora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2, "quantization": "nf4"},
}


@pytest.fixture
def wide(place: Path) -> Path:
    """The configuration of a base whose weights are most of what a study takes."""
    pytest.importorskip("bitsandbytes", reason="needs the extra quantization")
    config = scratch_config("scratch:tiny-llama")
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = 1024, 4096, 3
    config.num_attention_heads = config.num_key_value_heads = 8
    config.head_dim = 128
    config.save_pretrained(place / "wide")
    return place / "wide"


@pytest.fixture
def fitted_on(
    wide: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[Need], Fit]]:
    """What the methods of a study need and what would make it fit on a card of so many bytes."""

    def call(methods: Any, usable: float, *settings: str) -> tuple[list[Need], Fit]:
        monkeypatch.setattr(Card, "usable_bytes", property(lambda card: int(usable)))
        (place / "study.yaml").write_text(dump_yaml(study_of(wide, methods)), encoding="utf-8")
        study = load_study(place / "study.yaml", list(settings))
        bench = open_workbench(study, "cpu", meta=True)
        card = CARDS["T4"]
        predictor = predictor_for(bench, card)
        profile = replace(card.profile(), free_bytes=int(usable) - predictor.base_bytes)
        with standing_for(profile):
            _, needs, fit = fitted(bench, predictor, schedule_of(study, bench), int(usable))
        return needs, fit

    return call


def study_of(base: Path, methods: Any) -> dict[str, Any]:
    return small_study(base=str(base), methods=methods, precision="auto")


def settings_in(remedy: str) -> list[str]:
    """The settings that a change is named with, as a shell reads them."""
    words = shlex.split(remedy.replace(",", " ").replace("'", ""))
    return [after for word, after in itertools.pairwise(words) if word == "--set"]


@pytest.mark.parametrize(
    ("methods", "rows", "share", "named"),
    [
        # The base alone does not fit, so that no micro-batch is small enough.
        (WITH_FULL, 1, 0.6, ["a quantised base: --set quantization=nf4 --set methods.full=null"]),
        # There is room for what LoRA takes beside one base, not beside two.
        pytest.param(
            TWO_BASES,
            1,
            0.75,
            ["a quantised base: --set quantization=nf4 --set methods.lora.quantization=nf4"],
            marks=pytest.mark.soak,
        ),
        pytest.param(
            {"lora": WITH_FULL["lora"]},
            2,
            0.99,
            [
                "smaller micro-batches: --set protocol.micro_batch_size=1 "
                "--set protocol.grad_accum_steps=8",
                "recomputed activations: --set engine.gradient_checkpointing=true",
                "a quantised base: --set quantization=int8",
            ],
            marks=pytest.mark.soak,
        ),
    ],
)
def test_every_change_that_is_named_makes_it_fit(
    fitted_on: Callable[..., tuple[list[Need], Fit]],
    methods: Any,
    rows: int,
    share: float,
    named: list[str],
) -> None:
    sizes = [f"protocol.micro_batch_size={rows}", f"protocol.grad_accum_steps={8 // rows}"]
    never = "engine.gradient_checkpointing=false"
    needs, _ = fitted_on({"lora": methods["lora"]}, 1e12, *sizes)
    if methods is TWO_BASES:
        needs, _ = fitted_on(methods, 1e12, *sizes)
    usable = share * needs[0].bytes
    _, fit = fitted_on(methods, usable, *sizes, never)
    assert list(fit.remedies) == named
    for change in fit.remedies:
        _, again = fitted_on(methods, usable, *sizes, never, *settings_in(change))
        assert not again.remedies, change


@pytest.mark.soak
def test_the_plan_prints_a_change_that_works(
    fitted_on: Callable[..., tuple[list[Need], Fit]],
    place: Path,
    cli: Callable[..., Any],
) -> None:
    needs, _ = fitted_on({"lora": {}}, 1e12)
    fitted_on(WITH_FULL, 1.0 * needs[0].alone.base_bytes)
    outcome = cli("plan", "study.yaml", "--gpu", "T4")
    assert "lora fits over the base in int8 with micro-batches of" in " ".join(outcome.out.split())
    changes = [line for line in outcome.out.splitlines() if line.startswith("- a quantised base")]
    assert changes
    for change in changes:
        settings = [word for key in settings_in(change) for word in ("--set", key)]
        assert "methods.full=null" in settings
        assert "It fits." in cli("plan", "study.yaml", "--gpu", "T4", *settings).out


def fitting(name: str, **changes: Any) -> Fitting:
    return Fitting(**{"name": name, "micro_batch_size": 4, "rows": None, **changes})


def over(kind: Any, rows: int) -> OverQuantized:
    return OverQuantized(kind=kind, rows=rows, settings=(f"quantization={kind}",))


def test_the_order_of_changes(tmp_path: Path) -> None:
    bench: Any = _Bench()
    lora = fitting("lora", checkpointed_rows=2, quantized=over("int8", 1), max_length=64)
    assert remedies_of(bench, [lora], seats_several=True) == [
        "recomputed activations: --set engine.gradient_checkpointing=true --set "
        "protocol.micro_batch_size=2 --set protocol.grad_accum_steps=4 --set slots=1",
        "a quantised base: --set quantization=int8 --set protocol.micro_batch_size=1 "
        "--set protocol.grad_accum_steps=8 --set slots=1",
        "shorter documents: --set task.max_length=64 --set protocol.micro_batch_size=1 "
        "--set protocol.grad_accum_steps=8 --set slots=1",
    ]
    # Leaving full tuning out is enough, so that nothing need be quantised for it.
    small = fitting("lora", rows=2, quantized=over("int8", 4))
    full = fitting("full", needs_whole_base=True)
    [only] = remedies_of(bench, [small, full], seats_several=False)
    assert only.startswith("leaving out methods.full: --set methods.full=null, with smaller")
    # Quantised, one method less is left out.
    ia3 = fitting("ia3", rows=4, quantized=over("nf4", 4))
    large = fitting("lora", quantized=over("nf4", 4))
    changes = remedies_of(bench, [ia3, large, full], seats_several=False)
    assert changes == [
        "a quantised base: --set quantization=nf4 --set methods.full=null",
        "leaving out methods.lora and methods.full: --set methods.lora=null "
        "--set methods.full=null",
    ]
    # What fits over no base at all is left out in any case.
    hopeless = fitting("prefix")
    assert remedies_of(bench, [large, hopeless], seats_several=False) == [
        "leaving out methods.prefix: --set methods.prefix=null, with a quantised base: "
        "--set quantization=nf4"
    ]


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "find_spec", lambda name: None)
    bench: Any = _Bench()
    [change] = remedies_of(bench, [fitting("lora", quantized=over("int8", 4))], seats_several=False)
    assert change == (
        "a quantised base (after pip install 'bakeoff[quantization]'): --set quantization=int8"
    )


class _Bench:
    """As far as the changes' texts ask a study."""

    class engine:  # noqa: N801  # an attribute of a study
        recomputes = False

    class protocol:  # noqa: N801
        rows_per_step = 8
