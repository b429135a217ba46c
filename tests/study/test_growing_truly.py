"""What a folder says of itself as it grows: what decides, what was seen, what it was made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bakeoff
from bakeoff.config import dump_yaml
from bakeoff.errors import ConfigError
from bakeoff.methods.registry import register_method
from bakeoff.metrics.registry import register_metric
from bakeoff.runs.folder import RunFolder
from bakeoff.tasks.registry import register_task
from tests.studies import small_study, without_times

Run = Callable[..., Any]
Results = Callable[[], dict[str, Any]]
pytestmark = pytest.mark.usefixtures("quick")
HEAD = {"kind": "head", "learning_rate": 1e-3}


@pytest.fixture
def run_labelled(place: Path, cli: Run) -> Run:
    """Runs a classification in the folder ``out``, with keys of its task."""
    for file in (place / "rows").glob("*.jsonl"):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        lines = [json.dumps({**row, "side": "AB"[i % 2]}) for i, row in enumerate(rows)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(decision: dict[str, Any] | None = None, **task: Any) -> Any:
        study = small_study(methods={"head": HEAD}, decision=decision or {})
        lengths = {"max_length": 96, "max_target_tokens": 8}
        study["task"] = {"kind": "classify", "source": "rows", "label": "side", **lengths, **task}
        (place / "study.yaml").write_text(dump_yaml(study), encoding="utf-8")
        return cli("run", "study.yaml", "--out", "out")

    return run


def test_metrics_that_would_change_what_decides_are_refused(
    run_labelled: Run, results: Results
) -> None:
    assert run_labelled().code == 0
    assert results()["decision"]["metric"] == "accuracy"
    refused = run_labelled(metrics=["macro_f1"])
    assert refused.code == 2
    assert "decision.metric: accuracy and macro_f1" in refused.message
    assert "fixed before the test set is opened" in refused.message
    assert "decision.metric: accuracy keeps it" in refused.message
    assert run_labelled(metrics=["macro_f1", "accuracy"]).code == 0
    assert results()["decision"]["metric"] == "accuracy"


def test_that_it_grew_is_said_also_after_a_process_died(
    finished: Run, run_small: Run, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished()

    class KilledError(BaseException):
        pass

    write = RunFolder._write_study

    def killed(self: RunFolder) -> None:
        write(self)
        raise KilledError

    methods = {"lora": {"kind": "lora", "rank": 2, "learning_rate": 1e-2}, "head": HEAD}
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(RunFolder, "_write_study", killed)
        run_small(methods=methods)
    assert run_small(methods=methods).code == 0
    notes = [n for n in results()["notes"] if "when results of the test set were there" in n]
    assert len(notes) == 1 and "methods.head" in notes[0]


def test_a_complete_folder_whose_data_changed_is_not_taken_for_complete(
    finished: Run, run_small: Run, place: Path
) -> None:
    finished()
    assert "nothing is trained" in run_small().out
    test = place / "rows/test.jsonl"
    before = test.read_text(encoding="utf-8")
    test.write_text(before.replace("mayor", "baker"), encoding="utf-8")
    refused = run_small()
    assert refused.code == 2 and "the data changed since this run began" in refused.message
    # Another file with the same rows is no other input.
    test.write_text(before.replace('"text": ', '"text":  '), encoding="utf-8")
    assert run_small().code == 0
    assert "nothing is trained" in run_small().out
    test.unlink()
    assert "nothing is trained" in run_small().out, "what is complete needs them no more"


def test_what_an_earlier_call_kept_does_not_decide_the_order(
    finished: Run, run_small: Run, results: Results, place: Path
) -> None:
    finished()
    before = without_times(results())
    (place / "out/results.json").unlink()
    for file in (place / "out/baselines/lead").rglob("*"):
        if file.is_file():
            file.unlink()
    assert run_small().code == 0
    after = without_times(results())
    assert list(after["baselines"]) == list(before["baselines"]) == ["lead", "zero_shot"]
    assert after["comparisons"] == before["comparisons"]


def test_a_study_in_the_folder_that_is_none_is_another_one(
    finished: Run, run_small: Run, place: Path
) -> None:
    """Where ``inputs.json`` does not keep the study: in a folder of an older version."""
    finished()
    inputs = json.loads((place / "out/inputs.json").read_text(encoding="utf-8"))
    del inputs["study"]
    (place / "out/inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    text = "name: small\nbase: tiny\nmethods: 3\ntask: 4\nprotocol: x\n"
    (place / "out/study.yaml").write_text(text, encoding="utf-8")
    refused = run_small()
    assert refused.code == 2 and "holds the results of another study" in refused.message
    assert "protocol: 'x'" in refused.message


def test_a_torn_log_is_refused_before_the_folder_becomes_another_study(
    finished: Run, run_small: Run, place: Path
) -> None:
    finished()
    log = place / "out/events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b'{"event": \n', *lines[1:]]))
    before = (place / "out/study.yaml").read_bytes()
    refused = run_small(methods={"lora": {"rank": 2, "learning_rate": 1e-2}, "head": HEAD})
    assert refused.code != 0 and "events.jsonl, line 2" in refused.message
    assert (place / "out/study.yaml").read_bytes() == before


# The types are ignored because arguments of wrong kinds are what is tested.
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: register_metric("bad", 3), "give a name and a function"),  # type: ignore[arg-type]
        (lambda: register_metric(3, len), "give a name and a function"),  # type: ignore[arg-type]
        (lambda: register_method(3, 3), "3 has no spec"),  # type: ignore[arg-type]
        (lambda: register_task(int), "is no class of tasks"),  # type: ignore[arg-type]
        (lambda: register_task(None), "is no class of tasks"),  # type: ignore[arg-type]
        (lambda: bakeoff.load(3), "load: 3 is no path"),  # type: ignore[arg-type]
        (lambda: bakeoff.run(small_study(), out=3), "out: 3 is no path"),  # type: ignore[arg-type]
        (lambda: bakeoff.run(small_study(), budget=3), "budget 3: is not a duration"),  # type: ignore[arg-type]
        (lambda: bakeoff.run(small_study(), max_memory=3), "max-memory 3: is not a size"),  # type: ignore[arg-type]
    ],
)
def test_wrong_kinds_are_refused_by_name(
    place: Path, wrong: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        wrong()
    assert message in str(caught.value)
