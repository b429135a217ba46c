from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakeoff.errors import ConfigError, DataError
from bakeoff.metrics import metric_of
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.tasks.registry import read_task
from tests.metrics.examples import Given, whole, with_references

SOURCE = """
from dataclasses import dataclass

@dataclass
class Kept:  # looks its module up
    words: int

def score(prediction, references, row):
    return Kept(len(prediction.split())).words

def several(prediction, references, row):
    return {"right": prediction in references, "row": row.get("bonus", 0)}

def broken(prediction, references, row):
    return {"nan": float("nan"), "text": "1", "none": None, "fine": 2}[prediction]

def fails(prediction, references, row):
    raise KeyError(prediction)

constant = 3
"""


@dataclass(frozen=True)
class WithRow(Given):
    row: Mapping[str, object] = field(default_factory=dict)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my_metrics.py"
    path.write_text(SOURCE)
    return str(path)


def test_a_number(file: str) -> None:
    options = {"function": f"{file}:score", "higher_is_better": False, "unit": "words"}
    metric = metric_of("python", options=options | {"margin": 2.0, "title": "Length"})
    outputs = ModelOutputs(texts=["one", "and two more"])
    assert whole(metric, outputs, with_references(["x", "x"])) == 2.0
    assert (metric.name, metric.title, metric.unit) == ("score", "Length", "words")
    assert (metric.default_margin, metric.higher_is_better) == (2.0, False)
    assert metric.signature.startswith(f"{file}:score, SHA-256 ")


def test_one_of_several_numbers(file: str) -> None:
    outputs = ModelOutputs(texts=["a", "b"])
    examples = [WithRow(references=("a", "c"), row={"bonus": 5}), WithRow(references=("a",))]
    for key, right in (("right", 0.5), ("row", 2.5)):
        metric = metric_of(f"python: {file}:several", options={"key": key})
        assert metric.name == key
        assert whole(metric, outputs, examples) == right
    metric = metric_of(f"python: {file}:several", options={"key": "right", "name": "mine"})
    assert (metric.name, metric.title) == ("mine", "mine")


def test_a_task_that_has_it_keeps_its_rows_whole(file: str) -> None:
    source = dict.fromkeys(("train", "validation", "test"), "rows.jsonl")
    given = {"kind": "summarize", "source": source}
    assert read_task({**given, "metrics": [f"python: {file}:score"]}).reads_whole_rows
    assert not read_task(given).reads_whole_rows


def test_the_signature_follows_the_file(file: str) -> None:
    before = metric_of(f"python: {file}:score")
    Path(file).write_text("def score(prediction, references, row):\n    return 7\n")
    after = metric_of(f"python: {file}:score")
    assert before.signature != after.signature
    assert whole(after, ModelOutputs(texts=["a b"]), with_references(["x"])) == 7.0


@pytest.mark.parametrize(
    ("function", "key", "text", "message"),
    [
        ("broken", None, "nan", r"example 0: it returned nan; return a finite number"),
        ("broken", None, "text", "it returned '1'; return a finite number"),
        ("broken", None, "none", "it returned None; return a finite number"),
        ("fails", None, "x", "it raised KeyError: 'x'; mend it"),
        ("several", None, "x", "a mapping; choose one .* by `key`: right, row.*several, key: NAME"),
        ("several", "left", "x", "which has no key 'left'"),
        ("score", "left", "x", "it returned 1, which has no key 'left'"),
    ],
)
def test_answers_that_are_no_number(
    file: str, function: str, key: str | None, text: str, message: str
) -> None:
    metric = metric_of(f"python: {file}:{function}", options={"key": key})
    with pytest.raises(DataError, match=message):
        metric.statistics(ModelOutputs(texts=[text]), with_references(["a"]))


def test_wrong_places(file: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"function.*must be FILE\.py:NAME"):
        metric_of("python: my_metrics.score")
    with pytest.raises(ConfigError, match=r"'none\.py' cannot be read .* give the path of a"):
        metric_of("python: none.py:score")
    with pytest.raises(ConfigError, match=r"has no function 'scores'; did you mean 'score'\?"):
        metric_of(f"python: {file}:scores")
    with pytest.raises(ConfigError, match="has no function 'constant'"):
        metric_of(f"python: {file}:constant")
    with pytest.raises(ConfigError, match=r"metrics\.python\.name = 'nll': that is a metric of"):
        metric_of(f"python: {file}:score", options={"name": "nll"})
    with pytest.raises(ConfigError, match=r"metrics\.python\.margin.*must be a positive number"):
        metric_of(f"python: {file}:score", options={"margin": 0.0})
    bad = tmp_path / "bad.py"
    bad.write_text("import no_such_module_at_all\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"cannot be imported \(ModuleNotFoundError"):
            metric_of(f"python: {bad}:score")
