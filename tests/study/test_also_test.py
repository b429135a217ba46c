"""Further test sets of a study: another shift of the same kind, and plain text for forgetting."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff.api.study import Study
from bakeoff.execution.also import AlsoWorker
from bakeoff.study.also import read_also
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import generation_of
from bakeoff.tasks.contract import ZERO_SHOT
from bakeoff.tasks.registry import read_task
from tests.studies import CITIES

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
Contents = Callable[[Path], Mapping[str, bytes]]
pytestmark = pytest.mark.usefixtures("quick")

SHIFT = {"source": "shift"}
PLAIN = {"kind": "text", "source": "plain.jsonl", "text": "said", "max_length": 48}
SEEDS = {"seeds": [0, 1]}


@pytest.fixture
def sets(place: Path) -> Path:
    """Rows of two further test sets: a folder with a test file alone, and a file of texts."""
    folder = place / "shift"
    folder.mkdir()
    rows = [
        {"text": f"In {city} the market sold {7 * i} apples.", "short": f"{city} sold {7 * i}."}
        for i, city in enumerate(CITIES[:5])
    ]
    (folder / "test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    texts = [{"said": f"{city} lies on a river, and it rains there."} for city in CITIES[:6]]
    (place / "plain.jsonl").write_text("".join(json.dumps(r) + "\n" for r in texts), "utf-8")
    return place


def test_each_set_is_scored_by_its_own_metrics_and_compared_in_a_family_of_its_own(
    sets: Path, run_small: Run, results: Results
) -> None:
    also = {"shift": SHIFT, "plain": {**PLAIN, "max_drop": {"nll": 0.5}}}
    outcome = run_small(protocol=SEEDS, also_test=also)
    assert outcome.code == 0, outcome.err
    found = results()
    assert found["status"] == "complete"
    assert {name: (one["kind"], one["examples"]) for name, one in found["also_test"].items()} == {
        "shift": ("summarize", 5),
        "plain": ("text", 6),
    }
    assert found["also_test"]["plain"]["max_drop"] == {"nll": 0.5}
    assert [m["name"] for m in found["also_test"]["plain"]["metrics"]] == [
        *("nll", "perplexity", "bits_per_byte"),
    ]
    lora, zero = found["methods"]["lora"], found["baselines"]["zero_shot"]
    for one in (lora, zero):
        assert set(one["also_test"]) == {"shift", "plain"}
        assert set(one["also_test"]["plain"]) == {"nll", "perplexity", "bits_per_byte"}
        assert set(one["also_test"]["shift"]) == set(one["test"])
    assert len(lora["also_test"]["plain"]["nll"]["per_seed"]) == 2
    pairs = {(c["set"], c["metric"], c["a"], c["b"]) for c in found["comparisons"]}
    assert ("plain", "bits_per_byte", "zero_shot", "lora") in pairs
    assert not any(c["set"] == "shift" and "lead" in (c["a"], c["b"]) for c in found["comparisons"])
    # What is written is counted on each set, over the seeds; a text is scored alone.
    assert set(found["also_test"]["shift"]["outputs"]) == {"lora", "zero_shot"}
    counted = found["also_test"]["shift"]["outputs"]["lora"]
    runs = [sets / f"out/candidates/lora-lr0.01-s{seed}/scores/also-shift.npz" for seed in (0, 1)]
    for key in ("empty", "unfinished"):
        assert counted[key] == sum(int(np.load(run)[key].sum()) for run in runs)
    assert counted["examples"] == 10 and found["also_test"]["plain"]["outputs"] == {}
    # What is kept says the same.
    kept = np.load(sets / "out/candidates/lora-lr0.01-s0/scores/also-plain.npz")["nll"]
    assert kept.shape == (6, 2)
    value = lora["also_test"]["plain"]["nll"]["per_seed"][0]
    assert value == pytest.approx(kept[:, 0].sum() / kept[:, 1].sum(), rel=1e-6)
    answers = (sets / "out/candidates/lora-lr0.01-s0/predictions-shift.jsonl").read_text("utf-8")
    assert len(answers.splitlines()) == 5
    files = found["candidates"]["lora-lr0.01-s0"]["files"]
    assert {"scores/also-plain.npz", "predictions-shift.jsonl", "scores/test.npz"} <= set(files)
    import bakeoff

    loaded = bakeoff.load(sets / "out")
    table = loaded.table(baselines=True).set_index("method")
    assert table.loc["lora", "plain_nll"] == lora["also_test"]["plain"]["nll"]["mean"]
    assert table.loc["zero_shot", "plain_nll"] == zero["also_test"]["plain"]["nll"]["mean"]
    scores = loaded.scores(set="plain")
    assert set(scores["set"]) == {"plain"} and len(scores) == 12
    assert set(loaded.scores()["set"]) == {"test"}
    with pytest.raises(bakeoff.errors.ConfigError, match="it has test, shift, plain"):
        loaded.scores(set="plane")


def test_a_set_that_comes_later_is_only_tested(
    sets: Path,
    finished: Run,
    run_small: Run,
    trained: list[str],
    results: Results,
    contents: Contents,
) -> None:
    finished()
    before, first = contents(sets / "out"), results()
    trained.clear()
    outcome = run_small(also_test={"plain": PLAIN})
    assert outcome.code == 0, outcome.err
    after = contents(sets / "out")
    assert trained == []
    # What was there is as it was, but for the records, which have the new files' hashes.
    parts = {
        name: content
        for name, content in before.items()
        if name.startswith(("candidates/", "baselines/")) and not name.endswith("record.json")
    }
    assert parts and {name: after[name] for name in parts} == parts
    assert results()["methods"]["lora"]["test"] == first["methods"]["lora"]["test"]
    assert "plain" in results()["methods"]["lora"]["also_test"]
    assert "This study is complete" in run_small(also_test={"plain": PLAIN}).out
    # Left out, and back again: what was kept is taken up.
    assert run_small().code == 0
    assert results()["methods"]["lora"]["also_test"] == {}
    kept = sets / "out/candidates/lora-lr0.01-s0/scores/also-plain.npz"
    written = kept.stat().st_mtime_ns
    assert run_small(also_test={"plain": PLAIN}).code == 0
    assert "plain" in results()["methods"]["lora"]["also_test"]
    assert kept.stat().st_mtime_ns == written


def test_other_rows_under_a_known_name_are_refused(sets: Path, run_small: Run) -> None:
    assert run_small(also_test={"plain": PLAIN}).code == 0
    (sets / "plain.jsonl").write_text('{"said": "Nothing of the kind."}\n' * 3, "utf-8")
    fresh = {"plain": {**PLAIN, "max_drop": {"nll": 1.0}}}
    outcome = run_small(also_test=fresh)
    assert outcome.code != 0
    assert "the test set plain changed since it was first asked" in outcome.message
    assert run_small(also_test={"other": PLAIN}).code == 0


def test_an_interrupted_run_takes_up_what_was_kept(
    sets: Path, run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    also = {"shift": SHIFT, "plain": PLAIN}
    asked: list[str] = []
    run = AlsoWorker.run

    def stopped(self: AlsoWorker, job: Any) -> None:
        asked.append(job.split)
        if job.split == "plain":
            raise KeyboardInterrupt
        run(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(AlsoWorker, "run", stopped)
        assert run_small(also_test=also).code != 0
    assert asked == ["shift", "plain"] and results()["status"] == "partial"
    first = results()["methods"]["lora"]["also_test"]
    assert set(first) == {"shift"}

    def watched(self: AlsoWorker, job: Any) -> None:
        asked.append(job.split)
        run(self, job)

    asked.clear()
    monkeypatch.setattr(AlsoWorker, "run", watched)
    assert run_small(also_test=also).code == 0
    assert asked == ["plain"] and results()["status"] == "complete"
    assert results()["methods"]["lora"]["also_test"]["shift"] == first["shift"]
    kept = [
        json.loads(line) for line in (sets / "out/events.jsonl").read_text("utf-8").splitlines()
    ]
    parts = [e["part"] for e in kept if e["event"] == "kept" and e["cohort"] == "test-2"]
    assert parts == ["lora-lr0.01-s0"]
    # A file that was changed is not taken up.
    asked.clear()
    torn = sets / "out/candidates/lora-lr0.01-s0/scores/also-shift.npz"
    torn.write_bytes(torn.read_bytes()[:-10])
    assert run_small(also_test=also).code == 0
    assert asked == ["shift"]
    assert results()["methods"]["lora"]["also_test"]["shift"] == first["shift"]


def test_a_failure_on_a_set_is_that_sets_alone(
    sets: Path, run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    also, asked = {"plain": PLAIN}, AlsoWorker.ask

    def broken(self: AlsoWorker, cohort: Any, slots: Any, names: str) -> Any:
        raise RuntimeError("no luck")

    monkeypatch.setattr(AlsoWorker, "ask", broken)
    run_small(also_test=also)
    found = results()
    assert found["status"] == "partial"
    assert found["methods"]["lora"]["state"] == "COMPLETE" and found["methods"]["lora"]["test"]
    assert found["methods"]["lora"]["also_test"] == {}
    assert any("lora-lr0.01-s0 has no result on plain: " in note for note in found["notes"])
    monkeypatch.setattr(AlsoWorker, "ask", asked)
    assert run_small(also_test=also).code == 0
    assert "plain" in results()["methods"]["lora"]["also_test"]
    assert results()["status"] == "complete"


def test_labels_of_a_set_of_the_same_kind_are_those_of_training(
    sets: Path, run_small: Run, results: Results
) -> None:
    for split, size in {"train": 16, "validation": 4, "test": 4}.items():
        rows = [
            {"t": f"{CITIES[i % 8]} {i} {split}", "l": ("a", "b", "c")[i % 3]} for i in range(size)
        ]
        (sets / "rows" / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    lines = "".join(json.dumps({"t": f"{c} again", "l": "c"}) + "\n" for c in CITIES[:3])
    (sets / "again.jsonl").write_text(lines, "utf-8")
    task = {"kind": "classify", "source": "rows", "text": "t", "label": "l", "max_length": 48}
    from bakeoff.study.loading import study_from_mapping
    from bakeoff.study.opening import open_workbench
    from tests.studies import small_study

    given = {**small_study(), "task": task, "also_test": {"again": {"source": "again.jsonl"}}}
    bench = open_workbench(study_from_mapping(given, folder=sets), "cpu")
    assert bench.also["again"].task.labels == ("a", "b", "c") == bench.task.labels
    assert bench.also["again"].data.gold.tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("own", "columns"),
    [
        ({}, ("a", None)),
        ({"messages": "talk"}, (None, "talk")),
        ({"instruction": "b", "output": "d"}, ("b", None)),
    ],
)
def test_a_set_of_conversations_may_have_another_form_than_the_study(
    own: dict[str, str], columns: tuple[str | None, str | None]
) -> None:
    task = {"kind": "chat", "source": "rows", "instruction": "a", "output": "c"}
    given = {"more": {"source": "more.jsonl", **own}}
    found: Any = read_also(given, read_task(task), task, (ZERO_SHOT,), ())["more"].task.options
    assert (found.instruction, found.messages) == columns


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": (
        {"plain": {"kind": "txt", "source": "plain.jsonl"}},
        "also_test.plain.kind: there is no kind of task 'txt'",
    ),
    "no source": ({"plain": {"kind": "text"}}, "also_test.plain.source: is missing; give a folder"),
    "no test among files": (
        {"plain": {**PLAIN, "source": {"train": "plain.jsonl"}}},
        "also_test.plain.source has the keys ['train'] and no test",
    ),
    "no test file in the folder": (
        {"plain": {**PLAIN, "source": "empty"}},
        "also_test.plain.source: ",
    ),
    "no such file": (
        {"plain": {**PLAIN, "source": "./plane.jsonl"}},
        "also_test.plain.source is './plane.jsonl': there is no file or folder",
    ),
    "no such column": (
        {"plain": {**PLAIN, "text": "sad"}},
        "also_test.plain.text is 'sad', but ",
    ),
    "unknown metric": (
        {"plain": {**PLAIN, "max_drop": {"nl": 0.1}}},
        "also_test.plain.max_drop: 'nl' is not a metric of this set; did you mean nll? It has: nll",
    ),
    "negative drop": (
        {"plain": {**PLAIN, "max_drop": {"nll": -0.1}}},
        "also_test.plain.max_drop.nll: -0.1 is not a finite number of zero or more",
    ),
    "no mapping": (
        {"plain": {**PLAIN, "max_drop": 0.1}},
        "also_test.plain.max_drop = 0.1: must be a mapping from a metric",
    ),
    "no such method": (
        {"plain": {**PLAIN, "methods": ["lara"]}},
        "also_test.plain.methods: 'lara' is no method of this study; did you mean lora?",
    ),
    "no list of methods": (
        {"plain": {**PLAIN, "methods": "lora"}},
        "also_test.plain.methods = 'lora': must be a list of the study's methods",
    ),
    "a limit that some have no scores for": (
        {"plain": {**PLAIN, "methods": ["lora"], "max_drop": {"nll": 0.1}}},
        "also_test.plain.methods: also_test.plain.max_drop is a limit that every method",
    ),
    "the study's own name": ({"test": PLAIN}, "also_test.test: 'test' is one of the study's own"),
    "leave for an overlap": (
        {"more": {**PLAIN, "allow_overlap": True}},
        "also_test.more.allow_overlap: has no effect",
    ),
    "no name of a folder": ({"a/b": PLAIN}, "also_test.a/b: 'a/b' cannot name a folder"),
    "case alone": (
        {"plain": PLAIN, "Plain": PLAIN},
        "also_test.Plain: differs from also_test.plain in case alone",
    ),
    "too long for the base": (
        {"plain": {**PLAIN, "max_length": 10**6}},
        "also_test.plain.max_length: 1000000 is more than the ",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_set_is_said_by_its_place(
    sets: Path, run_small: Run, name: str
) -> None:
    (sets / "empty").mkdir()
    also, message = BAD[name]
    outcome = run_small(also_test=also)
    assert outcome.code == 2
    assert message in outcome.message
    assert not (sets / "out/study.yaml").exists()


def test_a_set_is_for_the_methods_that_it_names(
    sets: Path, run_small: Run, results: Results
) -> None:
    methods = {
        "lora": {"rank": 2, "learning_rate": 1e-2},
        "head": {"learning_rate": 1e-2},
    }
    also: dict[str, dict[str, Any]] = {
        "shift": {**SHIFT, "methods": []},
        "plain": {**PLAIN, "methods": ["lora"]},
    }
    assert run_small(methods=methods, also_test=also).code == 0
    found = results()
    assert found["status"] == "complete"
    asked = {name: set(one["also_test"]) for name, one in found["methods"].items()}
    assert asked == {"lora": {"plain"}, "head": set()}
    assert set(found["baselines"]["zero_shot"]["also_test"]) == {"shift", "plain"}
    assert not list((sets / "out/candidates").glob("head*/scores/also-*"))
    # One more is asked later, and what is there stays.
    also["plain"]["methods"] = ["lora", "head"]
    assert run_small(methods=methods, also_test=also).code == 0
    assert set(results()["methods"]["head"]["also_test"]) == {"plain"}


def test_a_set_of_another_kind_is_written_as_that_kind_is() -> None:
    """Labels end after some tokens, and summaries repeat nothing; a set of texts to write may."""
    task = {"kind": "classify", "source": "rows.csv", "text": "a", "label": "b"}
    other = {"kind": "complete", "source": "x.csv", "prompt": "a", "completion": "b"}
    study = {
        **{"name": "sets", "base": "tiny", "methods": {"lora": {}}},
        "task": {**task, "answer": "generate"},
        "also_test": {
            "same": {"source": "more.csv"},
            "other": {**other, "max_target_tokens": 200},
            "short": {"kind": "summarize", "source": "x.csv", "document": "a", "summary": "b"},
        },
    }
    made = study_from_mapping(study, folder=Path.cwd())
    found = {name: generation_of(made, one.task) for name, one in made.also.items()}
    assert {name: (one.max_new_tokens, one.no_repeat_ngram) for name, one in found.items()} == {
        "same": (16, 0),
        "other": (200, 0),
        "short": (64, 3),
    }


def test_a_drop_needs_the_untuned_base(sets: Path, run_small: Run) -> None:
    also = {"plain": {**PLAIN, "max_drop": {"nll": 0.1}}}
    outcome = run_small(also_test=also, baselines=["lead"])
    assert outcome.code == 2
    assert "also_test.plain.max_drop: a drop is measured from zero_shot" in outcome.message


def test_a_study_with_further_sets_takes_overrides_as_a_budget_makes_them(
    sets: Path, small: Callable[..., dict[str, Any]]
) -> None:
    study = Study.from_mapping(small(also_test={"shift": SHIFT, "plain": PLAIN}))
    changed = study.with_overrides(["protocol.epochs=3", "task.examples.test=2"])
    options = changed.at(sets).options
    assert options.protocol.epochs == 3
    assert options.also_test.keys() == {"shift", "plain"}
