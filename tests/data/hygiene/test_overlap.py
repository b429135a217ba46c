from __future__ import annotations

from bakeoff.data.hygiene.overlap import MAX_EXAMPLES, OverlapExample, OverlapRow, find_overlap
from bakeoff.types import Split


def rows(*texts: tuple[str, str | None]) -> list[OverlapRow]:
    return [
        OverlapRow(i, (content,), target, target or "answer")
        for i, (content, target) in enumerate(texts, 1)
    ]


def test_every_pair_is_counted_apart() -> None:
    splits: dict[Split, list[OverlapRow]] = {
        "train": rows(("A  storm", "s1"), ("shares", "s2"), ("a storm", "s3"), ("court", "s4")),
        "validation": rows(("SHARES", "s5"), ("match", "s6"), ("vote", "S4")),
        "test": rows(("a Storm\n", "s7"), ("match", "s8"), ("a storm", "s9"), ("new", "new")),
    }
    overlap = find_overlap(splits)
    assert (overlap.train_test, overlap.train_validation, overlap.validation_test) == (2, 1, 1)
    assert overlap.train_test_targets == 0
    assert overlap.train_validation_targets == 1
    assert overlap.train_duplicates == 1
    assert overlap.examples == (
        OverlapExample("train", 1, "test", 1, "input"),
        OverlapExample("train", 1, "test", 3, "input"),
        OverlapExample("train", 2, "validation", 1, "input"),
        OverlapExample("validation", 2, "test", 2, "input"),
        OverlapExample("train", 4, "validation", 3, "target"),
    )


def test_examples_are_limited_and_counts_are_not() -> None:
    same = rows(*((f"document {i}", f"summary {i}") for i in range(MAX_EXAMPLES + 5)))
    overlap = find_overlap({"train": same, "validation": rows(("v", "v")), "test": same})
    assert overlap.train_test == MAX_EXAMPLES + 5
    assert len(overlap.examples) == MAX_EXAMPLES


def test_nothing_in_common() -> None:
    overlap = find_overlap(
        {"train": rows(("a", "x")), "validation": rows(("b", "y")), "test": rows(("c", "z"))}
    )
    assert overlap.examples == ()
    assert overlap.train_test == overlap.train_validation == overlap.validation_test == 0


def test_targets_that_repeat_by_their_nature_are_not_compared() -> None:
    overlap = find_overlap(
        {
            "train": rows(("a", None), ("b", None)),
            "validation": rows(("B", None)),
            "test": rows(("c", None)),
        }
    )
    assert overlap.train_validation == 1
    assert overlap.train_validation_targets == overlap.train_test_targets == 0
    assert [found.column for found in overlap.examples] == ["input"]
