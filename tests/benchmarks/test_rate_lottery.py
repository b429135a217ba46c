"""The rate lottery's two rankings: which pairs changed places, and what ties are."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scipy.stats import kendalltau

from bakeoff.errors import ConfigError

FOLDER = Path(__file__).parents[2] / "studies" / "demonstrations"


@pytest.fixture(scope="module")
def lottery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rate_lottery", FOLDER / "rate_lottery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Scored:
    """As much of a method's record as a ranking reads."""

    test: dict[str, Any]
    learning_rate: float = 1e-3
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass
class Value:
    mean: float


@dataclass
class Metric:
    name: str = "accuracy"
    higher_is_better: bool = True


@dataclass
class Pair:
    a: str
    b: str
    verdict: str
    set: str = "test"
    metric: str = "accuracy"


@dataclass
class Found:
    """As much of a study's results as a ranking reads."""

    methods: dict[str, Scored]
    comparisons: list[Pair] = field(default_factory=list)
    primary: Metric = field(default_factory=Metric)


def ranked(*comparisons: Pair, **scores: float) -> Found:
    methods = {name: Scored({"accuracy": Value(score)}) for name, score in scores.items()}
    return Found(methods, list(comparisons))


BEFORE = {"a": 0.9, "b": 0.5, "c": 0.2, "d": 0.2}
AFTER = {"a": 0.6, "b": 0.8, "c": 0.3, "d": 0.4}


@pytest.mark.parametrize("names", ["abcd", "dcba", "cadb"])
def test_a_tie_has_no_order_that_could_turn(lottery: ModuleType, names: str) -> None:
    """Whatever order the study names its methods in."""
    before, after = ({name: of[name] for name in names} for of in (BEFORE, AFTER))
    found = lottery.compared(ranked(**before), ranked(Pair("b", "a", "better"), **after), 1e-3)
    assert [set(pair) for pair in found["turned"]] == [{"a", "b"}]
    assert [set(pair) for pair in found["tied"]] == [{"c", "d"}]
    assert len(found["turned_and_shown"]) == 1
    places = {row["method"]: (row["shared_rank"], row["searched_rank"]) for row in found["rows"]}
    assert places == {"a": (1, 2), "b": (2, 1), "c": (3, 4), "d": (3, 3)}
    scores = ([of[name] for name in names] for of in (BEFORE, AFTER))
    assert found["kendall_tau"] == pytest.approx(kendalltau(*scores).statistic)
    text = lottery.text_of(found)
    assert "1 of 6 pairs changed places, 1 more tied in one of the two" in text
    assert "1 is shown to differ once each method has its own rate and 3 seeds" in text


def test_one_tie_of_all_has_no_tau(lottery: ModuleType) -> None:
    found = lottery.compared(ranked(a=0.5, b=0.5), ranked(a=0.1, b=0.2), 1e-3)
    assert found["kendall_tau"] is None and "(Kendall's tau unknown)" in lottery.text_of(found)


def test_every_method_has_the_rate_and_the_first_seed(lottery: ModuleType) -> None:
    study = {"methods": {"lora": None, "ia3": {"learning_rate": 0.1}}, "protocol": None}
    made = lottery.at_one_rate(study, 1e-3, where="s.yaml")
    assert {of["learning_rate"] for of in made["methods"].values()} == {1e-3}
    assert made["protocol"] == {"seeds": [0]} and made["search"] is None
    with pytest.raises(ConfigError, match=r"s\.yaml: methods names no two methods"):
        lottery.at_one_rate({"methods": ["lora"]}, 1e-3, where="s.yaml")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "rate_lottery.py"), str(tmp_path / "none.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1 and "none.yaml" in done.stderr
