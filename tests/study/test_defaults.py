"""Defaults that follow the kind of task, the method and the size of the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup
from transformers import get_linear_schedule_with_warmup as hf_linear

from bakeoff.config import load_yaml
from bakeoff.engine.options import ProtocolOptions
from bakeoff.methods.registry import METHODS
from bakeoff.study.loading import load_study, study_from_mapping
from bakeoff.study.protocol_notes import decision_notes
from bakeoff.study.study import Study

STUDIES = Path(__file__).resolve().parents[2] / "studies"
KINDS: dict[str, dict[str, str]] = {
    "summarize": {"document": "a", "summary": "b"},
    "complete": {"prompt": "a", "completion": "b"},
    "classify": {"text": "a", "label": "b"},
    "choose": {"question": "a", "choices": "b", "answer": "c"},
    "chat": {},
    "text": {"text": "a"},
}


def study_of(kind: str = "classify", base: str = "tiny", **sections: Any) -> Study:
    mapping = {
        "name": "defaults",
        "base": base,
        "task": {"kind": kind, "source": "data.csv", **KINDS[kind]},
        "methods": {"lora": {}},
        **sections,
    }
    return study_from_mapping(mapping, folder=Path.cwd())


@pytest.mark.parametrize(
    ("kind", "epochs", "rows", "rank"),
    [
        ("classify", 3, 16, 16),
        ("choose", 3, 16, 16),
        ("summarize", 2, 32, 32),
        ("complete", 2, 32, 32),
        ("chat", 2, 32, 32),
        ("text", 1, 32, 32),
    ],
)
def test_epochs_rows_and_rank_follow_the_kind(kind: str, epochs: int, rows: int, rank: int) -> None:
    study = study_of(kind)
    protocol = study.options.protocol
    assert (protocol.epochs, protocol.rows_per_step) == (epochs, rows)
    lora = study.resolved["methods"]["lora"]
    assert (lora["rank"], lora["alpha"], lora["target_modules"]) == (rank, 32.0, "all-linear")


@pytest.mark.parametrize(
    ("kind", "options", "given", "expected"),
    [
        # A summary repeats nothing; sums and code do, and no answer is longer than its room.
        ("summarize", {"max_target_tokens": 90}, {}, (90, 3)),
        ("complete", {"max_target_tokens": 90, "metrics": ["number"]}, {}, (90, 0)),
        ("chat", {}, {}, (256, 0)),
        ("classify", {"answer": "generate"}, {}, (16, 0)),
        ("complete", {}, {"max_new_tokens": 7, "no_repeat_ngram": 4}, (7, 4)),
        # Metrics may come later, so they change nothing of it.
        ("summarize", {"max_target_tokens": 90, "metrics": ["nll"]}, {}, (90, 3)),
        ("classify", {}, {}, (64, 0)),
    ],
)
def test_what_may_be_written_follows_the_task(
    kind: str, options: dict[str, Any], given: dict[str, int], expected: Any
) -> None:
    task = {"kind": kind, "source": "data.csv", **KINDS[kind], **options}
    study = study_of(kind, task=task, generation=given)
    written = study.options.generation
    assert (written.max_new_tokens, written.no_repeat_ngram) == expected
    # A run's own study names them, so that they are the same when it goes on.
    assert study_from_mapping(study.resolved, folder=Path.cwd()).options.generation == written


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"micro_batch_size": 4}, (4, 8)),
        ({"grad_accum_steps": 4}, (8, 4)),
        ({"micro_batch_size": 48}, (48, 1)),
        ({"grad_accum_steps": 64}, (1, 64)),
        ({"micro_batch_size": 3, "grad_accum_steps": 5}, (3, 5)),
    ],
)
def test_what_is_given_of_an_update_is_kept(given: dict[str, int], expected: Any) -> None:
    protocol = study_of("chat", protocol=given).options.protocol
    assert (protocol.micro_batch_size, protocol.grad_accum_steps) == expected


def test_what_a_study_says_goes_before_every_default() -> None:
    study = study_of(
        protocol={"epochs": 9},
        methods={"lora": {"rank": 5, "alpha": None, "learning_rate": 0.25}},
    )
    assert study.options.protocol.epochs == 9
    lora = study.resolved["methods"]["lora"]
    assert (lora["rank"], lora["alpha"], lora["learning_rate"]) == (5, None, 0.25)


def test_a_resolved_study_means_itself() -> None:
    study = study_of("chat", methods={"lora": {}, "full": {}})
    assert study_from_mapping(study.resolved, folder=Path.cwd()).resolved == study.resolved


def test_rates_fall_with_the_size_of_the_base(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"small": 135_000_000, "middle": 1_300_000_000, "large": 8 * 10**9, "huge": 7 * 10**10}
    monkeypatch.setattr(
        "bakeoff.study.loading.parameters_for", lambda methods, base, **rest: counts[base]
    )
    rates = {
        base: {
            name: entry["learning_rate"]
            for name, entry in study_of(
                base=base, methods={kind: {} for kind in ("lora", "full", "ia3")}
            )
            .resolved["methods"]
            .items()
        }
        for base in counts
    }
    assert [rates[b]["lora"] for b in counts] == [1e-3, 5e-4, 3e-4, 2e-4]
    assert [rates[b]["full"] for b in counts] == [5e-5, 1e-5, 1e-5, 5e-6]
    assert [rates[b]["ia3"] for b in counts] == [5e-3] * 4


def test_a_base_that_is_not_there_counts_as_small() -> None:
    study = study_of(base="./no-such-folder", methods={"lora": {}})
    assert study.entries[0].learning_rate == 1e-3


def test_a_grid_is_centred_on_the_studys_rate() -> None:
    from bakeoff.search.rounds import first_specs
    from bakeoff.search.space import space_of

    study = study_of(methods={"lora": {"learning_rate": 2e-4}}, search={"learning_rates": 3})
    assert study.options.search is not None
    specs = first_specs(space_of(study.entries[0], study.options.search, seed=0))
    assert sorted(spec.learning_rate for spec in specs)[1] == pytest.approx(2e-4)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_are_those_of_transformers(schedule: str) -> None:
    protocol = ProtocolOptions(schedule=schedule, warmup_ratio=0.1)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    make = hf_linear if schedule == "linear" else get_cosine_schedule_with_warmup
    theirs = make(optimizer, num_warmup_steps=4, num_training_steps=40)
    for update in range(40):
        # In warm-up ours is one update ahead, so that the first one is not lost at a rate of zero.
        if update >= 4:
            assert protocol.rate_factor(update, 40) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_adapters_do_not_decay_and_weights_of_the_base_do() -> None:
    own = {kind: spec.weight_decay for kind, spec in METHODS.items()}
    assert {kind for kind, decay in own.items() if decay} == {"full", "head", "last_layers"}
    assert {own[kind] for kind in ("full", "head", "last_layers")} == {0.01}
    assert ProtocolOptions().decay_of(0.01) == 0.01
    assert ProtocolOptions(weight_decay=0.3).decay_of(0.0) == 0.3


def test_the_seeds_study_and_the_demo_name_their_protocol() -> None:
    named = {"epochs", "micro_batch_size", "grad_accum_steps", "max_grad_norm", "weight_decay"}
    named |= {"schedule", "warmup_ratio", "patience", "seeds"}
    for name in ("seed", "demo"):
        path = STUDIES / f"{name}.yaml"
        given = load_yaml(path.read_text(encoding="utf-8"), where=str(path))
        assert set(given["protocol"]) == named
        lora = load_study(path).resolved["methods"]["lora"]
        assert lora["alpha"] in (None, 8)


@pytest.mark.parametrize(
    ("kind", "metrics", "is_said"),
    [
        ("complete", None, True),
        ("complete", ["nll"], True),
        ("complete", ["rougeL"], False),
        ("chat", None, True),
        ("summarize", None, False),
        ("classify", None, False),
    ],
)
def test_that_no_score_of_the_text_was_asked_for_is_said(
    kind: str, metrics: list[str] | None, is_said: bool
) -> None:
    section = {"kind": kind, "source": "data.csv", **KINDS[kind], "metrics": metrics}
    task = study_of(kind, task=section).task
    deciding = task.metrics_before_rows[0].name
    assert bool(decision_notes(task, deciding)) is is_said
