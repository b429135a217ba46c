"""The search as Optuna shows it: trials that say what the candidates are."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from bakeoff.engine.candidate import Candidate
from bakeoff.errors import StoreError
from bakeoff.runs.records import EpochRecord
from bakeoff.search.method_search import record_of
from bakeoff.search.options import without_password
from bakeoff.search.storage import SearchStorage
from bakeoff.types import RunState

Run = Callable[..., Any]
SEARCHED: dict[str, dict[str, dict[str, Any]]] = {
    "lora": {"rank1": {"rank": 1}, "rank2": {"rank": 2}},
    "head": {"": {}},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


def candidate(method: str = "head", variant: str = "", rate: float = 1e-3) -> Candidate:
    name = "-".join([method, *([variant] if variant else []), f"lr{rate:g}-s0"])
    nothing: Any = SimpleNamespace()
    return Candidate(
        id=name, method_name=method, method=nothing, learning_rate=rate, seed=0, variant=variant
    )


def train(one: Candidate, *losses: float, state: RunState = RunState.RUNNING) -> Candidate:
    for loss in losses:
        number = len(one.epochs) + 1
        one.epochs.append(EpochRecord(epoch=number, train_nll=loss, val_nll=loss, seconds=0.0))
    if one.epochs:
        one.best_epoch = min(one.epochs, key=lambda e: e.val_nll).epoch
    one.state = state
    return one


def opened(url: str, owner: str = "run") -> SearchStorage:
    return SearchStorage(url, "study", owner, SEARCHED)


def keep(url: str, candidates: Iterable[Candidate], owner: str = "run") -> None:
    storage = opened(url, owner)
    try:
        storage.begin(map(record_of, candidates))
    finally:
        storage.close()


def trials(url: str, method: str) -> dict[str, FrozenTrial]:
    study = optuna.load_study(study_name=f"study/{method}", storage=url)
    return {trial.user_attrs["candidate"]: trial for trial in study.trials}


@pytest.mark.usefixtures("quick")
def test_a_studys_database_holds_a_trial_for_each_candidate_of_the_search(
    run_small: Run, place: Path, results: Run
) -> None:
    outcome = run_small(
        name="kept",
        methods={"head": {"learning_rate": [1e-9, 1e-2, 1e30]}},
        search={"learning_rates": 3, "seeds": 2, "growth": 0, "reduction_factor": 3},
        protocol={"epochs": 2},
    )
    assert outcome.code == 0, outcome.err
    study = optuna.load_study(study_name="kept/head", storage=f"sqlite:///{place}/out/study.db")
    found = {trial.user_attrs["candidate"]: trial for trial in study.trials}
    candidates = results()["candidates"]
    assert set(candidates) - set(found) == {"head-lr0.01-s0", "head-lr0.01-s1"}
    expected = {
        "head-lr1e-09-s1000": (TrialState.PRUNED, "PRUNED"),
        "head-lr0.01-s1000": (TrialState.COMPLETE, "COMPLETE"),
        "head-lr1e+30-s1000": (TrialState.FAIL, "DIVERGED"),
    }
    for name, (state, ended) in expected.items():
        trial, kept = found[name], candidates[name]
        assert trial.state is state
        assert trial.user_attrs["bakeoff_state"] == ended
        assert trial.user_attrs.get("reason") == kept["reason"]
        assert trial.intermediate_values == {e["epoch"]: e["val_nll"] for e in kept["epochs"]}
        assert trial.params == {"learning_rate": float(kept["learning_rate"])}
    best = candidates["head-lr0.01-s1000"]
    assert found["head-lr0.01-s1000"].value == best["epochs"][best["best_epoch"] - 1]["val_nll"]
    assert study.best_trial == found["head-lr0.01-s1000"]


def test_trials_have_the_searched_options_as_parameters(url: str) -> None:
    keep(url, [candidate("lora", "rank2", 1e-2), candidate("head")])
    [wide] = trials(url, "lora").values()
    assert wide.params == {"learning_rate": 1e-2, "rank": 2}
    assert (wide.state, wide.intermediate_values) == (TrialState.RUNNING, {})
    assert wide.distributions["rank"].choices == (1, 2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("rate", [1e-14, 1e7, 1e30])
def test_a_rate_of_any_size_is_written_as_it_is(url: str, rate: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning of Optuna's would stand in the terminal
        keep(url, [one := candidate(rate=rate)])
    assert trials(url, "head")[one.id].params == {"learning_rate": rate}


@pytest.mark.parametrize(
    ("state", "written"),
    [
        (RunState.WAITING, TrialState.RUNNING),
        (RunState.RUNNING, TrialState.RUNNING),
        (RunState.PAUSED, TrialState.RUNNING),
        (RunState.COMPLETE, TrialState.COMPLETE),
        (RunState.STOPPED, TrialState.COMPLETE),
        (RunState.PRUNED, TrialState.PRUNED),
        (RunState.DIVERGED, TrialState.FAIL),
        (RunState.FAILED, TrialState.FAIL),
    ],
)
def test_each_state_of_a_candidate_is_one_of_its_trial(
    url: str, state: RunState, written: TrialState
) -> None:
    one = train(candidate(), 3.0, 1.0, 2.0, state=state)
    one.reason = "why"
    keep(url, [one])
    trial = trials(url, "head")[one.id]
    assert trial.state is written
    assert trial.intermediate_values == {1: 3.0, 2: 1.0, 3: 2.0}
    assert trial.value == (1.0 if written is TrialState.COMPLETE else None) or (
        written is TrialState.PRUNED  # where Optuna puts the last value
    )
    assert ("reason" in trial.user_attrs) == (written is not TrialState.RUNNING)


def test_what_is_written_again_adds_only_what_is_new(url: str) -> None:
    storage = opened(url)
    storage.begin([record_of(one := train(candidate(), 3.0))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage.write(record_of(one))
        storage.write(record_of(train(one, 2.0)))
        storage.write(record_of(train(one, state=RunState.COMPLETE)))
        storage.write(record_of(train(one, 1.0)))  # it has ended
    storage.close()
    [trial] = trials(url, "head").values()
    assert trial.intermediate_values == {1: 3.0, 2: 2.0}
    assert trial.value == 2.0


def test_a_candidate_that_starts_anew_has_a_trial_that_does(url: str) -> None:
    """As after a cohort that failed: what it had reached is no longer so."""
    storage = opened(url)
    storage.begin([record_of(one := train(candidate(), 3.0, 1.0))])
    one.start_again()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        storage.write(record_of(train(one, 4.0)))
    storage.close()
    running = [t for t in trials(url, "head").values() if t.state is TrialState.RUNNING]
    assert [t.intermediate_values for t in running] == [{1: 4.0}]


def test_a_resumed_run_writes_trials_that_were_ahead_anew(url: str) -> None:
    ahead = [train(candidate(), 3.0, 2.0, 1.0, state=RunState.COMPLETE), candidate(rate=0.5)]
    keep(url, ahead)
    keep(url, [train(candidate(), 3.0)])
    [trial] = trials(url, "head").values()
    assert (trial.state, trial.intermediate_values) == (TrialState.RUNNING, {1: 3.0})


def test_a_search_that_was_made_and_never_signed_is_made_again(url: str) -> None:
    """As by a run that was killed in between; what somebody has filled is not."""
    optuna.create_study(storage=url, study_name="study/head")
    keep(url, [train(candidate(), 3.0)])
    [trial] = trials(url, "head").values()
    assert trial.intermediate_values == {1: 3.0}
    optuna.delete_study(storage=url, study_name="study/head")
    made = optuna.create_study(storage=url, study_name="study/head")
    made.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(StoreError, match=r"'study/head' of another run"):
        keep(url, [candidate()])


def test_a_search_of_another_run_is_refused_and_stays_as_it_was(url: str) -> None:
    keep(url, [train(candidate(), 3.0)], owner="one")
    with pytest.raises(StoreError, match=r"search\.storage: .*'study/\w+' of another run"):
        keep(url, [candidate()], owner="other")
    [trial] = trials(url, "head").values()
    assert trial.intermediate_values == {1: 3.0}


@pytest.mark.usefixtures("quick")
def test_two_runs_of_one_name_lie_apart_in_one_database(run_small: Run, place: Path) -> None:
    changes: dict[str, Any] = {
        "methods": {"head": {}},
        "search": {"learning_rates": 1, "seeds": 1, "storage": f"sqlite:///{place}/all.db"},
    }
    assert run_small(**changes).code == 0
    assert not (place / "out/study.db").exists()
    (place / "out").rename(place / "first")
    assert run_small(**changes).code == 0
    assert run_small("--fresh", **changes).code == 0
    names = optuna.get_all_study_names(f"sqlite:///{place}/all.db")
    assert len(names) == 3
    assert all(name.startswith("small-") and name.endswith("/head") for name in names)


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_no_database_is_put_aside_and_written_anew(
    run_small: Run, place: Path, results: Callable[[], dict[str, Any]]
) -> None:
    changes: dict[str, Any] = {
        "methods": {"head": {}},
        "search": {"learning_rates": 2, "seeds": 2, "growth": 0},
    }
    assert run_small(**changes).code == 0
    before = results()
    (place / "out/results.json").unlink()
    (place / "out/study.db").write_bytes(b"no database at all" * 99)
    assert run_small(**changes).code == 0
    assert (place / "out/study.db.broken").exists()
    assert any("put aside and written again" in note for note in results()["notes"])
    assert results()["candidates"] == before["candidates"]
    assert len(optuna.get_all_study_names(f"sqlite:///{place}/out/study.db")) == 1


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://me:hunter2@127.0.0.1:1/none",
        "postgresql://me:hunt@er2@127.0.0.1:1/none",
        "sqlite:////nowhere/at/all/study.db",
        "not a url",
    ],
)
def test_a_database_that_cannot_be_opened_is_refused_without_its_password(place: str) -> None:
    with pytest.raises(StoreError, match=r"search\.storage: .* cannot be opened") as caught:
        opened(place)
    assert "er2" not in str(caught.value)
    assert place.rpartition("@")[2] in str(caught.value)
    assert "study.db in the run's folder" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql+psycopg://me:h:2@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("mysql://:hunter2@host/db", "mysql://:***@host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("sqlite:///a/study.db", "sqlite:///a/study.db"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_what_the_database_refuses_is_said_in_its_words(url: str) -> None:
    storage = opened(url)
    storage.begin([])
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.execute("DROP TABLE trials")
    database.close()
    with pytest.raises(StoreError) as caught:
        storage.write(record_of(candidate()))
    storage.close()
    begun, _, rest = str(caught.value).partition(" (")
    assert begun == "search.storage: the database refused" and "\n" not in rest
    assert not rest.startswith("None)") and "); make room or repair it, and run the same" in rest
