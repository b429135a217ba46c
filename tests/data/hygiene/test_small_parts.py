"""Groups, lengths and benchmarks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.data.hygiene import benchmarks
from bakeoff.data.hygiene.benchmarks import benchmark_of_rows, named_benchmark, row_digest
from bakeoff.data.hygiene.groups import shared_groups
from bakeoff.data.hygiene.lengths import cutting, share_over, spread


def test_groups_that_two_splits_share() -> None:
    [found] = shared_groups(
        {"train": ["a", "b", "b", "c"], "test": ["b", "d", "c", "b"], "validation": ["e"]},
        [("train", "test"), ("train", "validation"), ("validation", "test")],
    )
    assert found == ("train", "test", ("b", "c"), 2, 3)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300))
def test_the_proposed_length_cuts_one_per_cent_and_one_less_cuts_more(lengths: list[int]) -> None:
    needed = np.array(lengths)
    proposed = cutting(needed)
    assert share_over(needed, proposed) <= 0.01 + 1e-12
    assert share_over(needed, proposed - 1) > 0.01


def test_the_spread_of_lengths() -> None:
    found = spread(np.arange(1, 101))
    assert (found.median, found.p95, found.p99) == (50, 95, 99)
    assert share_over(np.zeros(0, dtype=np.int64), 3) == 0.0


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("openai/gsm8k", "GSM8K"),
        ("data/my-gsm8k-test.jsonl", "GSM8K"),
        ("cais/mmlu", "MMLU"),
        ("stanfordnlp/sst2", "SST"),
        ("cnn_dailymail", "CNN/DailyMail"),
        ("allenai/ai2_arc", "ARC"),
        ("C:\\data\\HellaSwag\\test.csv", "HellaSwag"),
        ("rajpurkar/squad_v2", "SQuAD"),
        ("google-research-datasets/mbpp", "MBPP"),
        ("super_glue", "SuperGLUE"),
        ("tickets.csv", None),
        ("wire", None),
        ("monarch/search.jsonl", None),
        ("data/trecking.csv", None),
    ],
)
def test_benchmarks_by_name(place: str, name: str | None) -> None:
    assert named_benchmark([place]) == name


def test_benchmarks_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [f"How many apples has Ann after {i} days?" for i in range(5)]
    known = {row_digest(question): "Apples" for question in questions}
    monkeypatch.setattr(benchmarks, "_known_rows", lambda: known)
    rows = [("Answer.", question.upper().replace("?", " ?")) for question in questions]
    assert benchmark_of_rows(rows) == ("Apples", 5)
    assert benchmark_of_rows([*rows[:2], ("another",)]) is None
    assert benchmark_of_rows([*rows[:2], rows[0]]) == ("Apples", 3)


def test_the_digests_that_are_shipped_are_of_different_rows() -> None:
    known = benchmarks._known_rows()
    assert len(known) == 100 * len(set(known.values()))
    assert row_digest("two words") == ""
    # The first question of GSM8K's test set.
    assert known[row_digest(FIRST)] == "GSM8K"


FIRST = (
    "Janet\u2019s ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes "
    "muffins for her friends every day with four. She sells the remainder at the farmers' market "
    "daily for $2 per fresh duck egg. How much in dollars does she make every day at the farmers' "
    "market?"
)
