"""More epochs in the folder of an earlier run: trained on from the last one, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.engine import train
from bakeoff.study.loading import load_study
from bakeoff.study.notes import convergence_notes
from tests.studies import without_times

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")

METHODS: dict[str, Any] = {
    "head": {"learning_rate": 1e-2},
    "lora": {"rank": 2, "dropout": 0.2, "learning_rate": 1e-2},
    "full": {"learning_rate": 1e-3},
}
SHORT: dict[str, Any] = {"methods": METHODS, "protocol": {"epochs": 1, "seeds": [0, 1]}}
LONG: dict[str, Any] = {"methods": METHODS, "protocol": {"epochs": 2, "seeds": [0, 1]}}


def figures(tree: Any) -> Any:
    """Results without times and cohorts: training that goes on has a cohort of its own."""

    def without_cohorts(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {key: without_cohorts(v) for key, v in tree.items() if key != "cohort"}
        return list(map(without_cohorts, tree)) if isinstance(tree, list) else tree

    return without_cohorts(without_times(tree))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The candidates of each update."""
    counted: list[int] = []
    step = train.train_step

    def watched(*arguments: Any) -> Any:
        counted.append(arguments[0].num_slots)
        return step(*arguments)

    monkeypatch.setattr(train, "train_step", watched)
    return counted


def test_training_goes_on_from_the_last_epoch_to_the_results_of_training_at_once(
    finished: Run, run_small: Run, results: Results, place: Path, steps: list[int]
) -> None:
    finished(**LONG)
    whole = figures(results())
    # 16 rows, 8 in an update.
    at_once = sum(2 * len(one["epochs"]) for one in whole["candidates"].values())
    (place / "out").rename(place / "at_once")
    finished(**SHORT)
    steps.clear()
    outcome = run_small(**LONG)
    assert outcome.code == 0, outcome.err
    assert "lora-lr0.01-s0 goes on after epoch 1" in " ".join(outcome.out.split())
    assert 2 * sum(steps) == at_once  # the first epoch is not trained again
    assert figures(results()) == whole
    assert load_study(place / "study.yaml").resolved == results()["study"]
    assert "nothing is trained" in run_small(**LONG).out


def test_a_run_that_is_stopped_as_it_goes_on_does_so_again(
    finished: Run, run_small: Run, results: Results, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(**LONG)
    whole = figures(results())
    (place / "out").rename(place / "at_once")
    finished(**SHORT)
    step, counted = train.train_step, [0]

    def broken(*arguments: Any) -> Any:
        counted[0] += 1
        if counted[0] in (1, 4):
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(train, "train_step", broken)
    often = {**LONG, "checkpoint_minutes": 1e-9}
    assert run_small(**often).code == 130  # before anything is saved
    assert run_small(**often).code == 130
    assert run_small(**LONG).code == 0
    assert figures(results()) == whole


@pytest.mark.parametrize("harm", ["missing", pytest.param("torn", marks=pytest.mark.soak)])
def test_one_whose_last_state_is_lost_is_trained_from_the_start(
    finished: Run, run_small: Run, results: Results, place: Path, harm: str
) -> None:
    finished(**LONG)
    whole = results()
    (place / "out").rename(place / "at_once")
    finished(**SHORT)
    [file] = place.glob("out/candidates/lora-lr0.01-s0/last-*.safetensors")
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1])
    assert run_small(**LONG).code == 0
    note = "lora-lr0.01-s0 after its last epoch is missing or torn; it is trained from the start"
    assert any(note in found for found in results()["notes"])
    for name, candidate in whole["candidates"].items():
        curves = [
            [epoch["val_nll"] for epoch in one["epochs"]]
            for one in (candidate, results()["candidates"][name])
        ]
        assert curves[1] == pytest.approx(curves[0], rel=1e-5), name


def test_one_that_its_patience_stopped_stays_stopped(run_small: Run, results: Results) -> None:
    # Too low to change a bit of what validation finds, on whatever processor.
    methods = {"still": {"kind": "lora", "learning_rate": 1e-14}}
    protocol = {"epochs": 4, "patience": 1}
    assert run_small(methods=methods, protocol=protocol).code == 0
    [before] = results()["candidates"].values()
    assert before["state"] == "STOPPED"
    assert run_small(methods=methods, protocol={**protocol, "epochs": 6}).code == 0
    [after] = results()["candidates"].values()
    assert figures(after) == figures(before)


def test_of_a_search_the_chosen_settings_go_on(run_small: Run, results: Results) -> None:
    search = {"learning_rates": 3, "seeds": 1, "growth": 0}
    changes: dict[str, Any] = {"methods": {"head": {}}, "search": search}
    assert run_small(**changes, protocol={"epochs": 3}).code == 0
    before = results()
    assert run_small(**changes, protocol={"epochs": 5}).code == 0
    after = results()
    [final] = after["methods"]["head"]["candidates"]
    assert len(after["candidates"][final]["epochs"]) == 5
    for name, candidate in before["candidates"].items():
        if name != final:
            assert figures(after["candidates"][name]) == figures(candidate)
    assert after["search"] == before["search"]
    assert any("chosen after 3 epochs; only the chosen ones" in note for note in after["notes"])


@pytest.mark.parametrize(
    ("before", "now", "why"),
    [
        ({"epochs": 3}, {"epochs": 2}, "cannot be taken back to 2 epochs"),
        (
            {"epochs": 2, "schedule": "cosine"},
            {"epochs": 4, "schedule": "cosine"},
            "with protocol.schedule: cosine the rate has fallen to zero by then",
        ),
        (
            {"epochs": 2, "warmup_ratio": 0.1},
            {"epochs": 4, "warmup_ratio": 0.1},
            "protocol.warmup_ratio is a share of all updates",
        ),
        ({"epochs": 2}, {"epochs": 4, "max_grad_norm": 2.0}, "protocol.max_grad_norm: 1.0 and 2.0"),
    ],
)
def test_where_it_cannot_go_on_it_says_why_and_changes_nothing(
    finished: Run,
    run_small: Run,
    place: Path,
    contents: Callable[[Path], Any],
    before: dict[str, Any],
    now: dict[str, Any],
    why: str,
) -> None:
    finished(protocol=before)
    kept = contents(place / "out")
    outcome = run_small(protocol=now)
    assert outcome.code == 2
    assert why in outcome.message
    assert f"protocol.epochs: {before['epochs']} and {now['epochs']}" in outcome.message
    assert {k: v for k, v in contents(place / "out").items() if k not in (".lock", "run.log")} == {
        k: v for k, v in kept.items() if k not in (".lock", "run.log")
    }


def test_a_search_that_is_not_over_keeps_its_rungs(
    run_small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: dict[str, Any] = {"methods": {"head": {}}, "search": {"seeds": 1}}

    def broken(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_step", broken)
        assert run_small(**changes, protocol={"epochs": 3}).code == 130
    outcome = run_small(**changes, protocol={"epochs": 6})
    assert outcome.code == 2
    assert "judged by the rungs of 3 epochs; finish the study with them first" in outcome.message


def test_methods_that_still_gained_are_marked_and_named(run_small: Run, results: Results) -> None:
    methods = {
        "slow": {"kind": "lora", "rank": 1, "learning_rate": 1e-2},
        "done": {"kind": "lora", "rank": 1, "learning_rate": 1e-9},
    }
    assert run_small(methods=methods, protocol={"epochs": 2}).code == 0
    found = results()["methods"]
    assert (found["slow"]["converged"], found["done"]["converged"]) == (False, True)
    notes = [note for note in results()["notes"] if "still improving" in note]
    assert len(notes) == 1 and notes[0].startswith("slow was still improving")
    assert "further ahead" in notes[0] and "protocol.epochs=4" in notes[0]


def test_of_a_decaying_rate_nothing_is_known(run_small: Run, results: Results) -> None:
    assert run_small(protocol={"epochs": 2, "schedule": "cosine"}).code == 0
    assert results()["methods"]["lora"]["converged"] is None
    assert any("nothing says whether more of them would help" in n for n in results()["notes"])
    study = load_study(None, ["search.space.epochs=[1, 3]", "search.pruner=null"])
    assert study.options.protocol.decays
    assert convergence_notes(study.options.protocol, study.options.search, {}) == []
