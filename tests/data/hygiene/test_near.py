"""Near duplicates, against a comparison of every pair."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.data.cleaning import normalise
from bakeoff.data.hygiene.near import NEAR, NEAR_PART, similarities, sketch
from bakeoff.data.hygiene.overlap import Overlap, OverlapRow, find_overlap
from bakeoff.data.hygiene.shingles import Parts
from bakeoff.types import SPLITS, Split


def shingles(text: str) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    words = ["^", "^", *normalise(text).split(), "$", "$"]
    return set(itertools.pairwise(itertools.pairwise(words)))


def alike(one: Parts, other: Parts) -> float:
    """The rule in plain words, for texts without punctuation."""
    sets = [[shingles(part) for part in row] for row in (one, other)]
    marked = [{(i, s) for i, part in enumerate(row) for s in part} for row in sets]
    for first, second in zip(*sets, strict=False):
        if len(first & second) / len(first | second) < NEAR_PART:
            return 0.0
    return len(marked[0] & marked[1]) / len(marked[0] | marked[1])


def rows_of(texts: list[str], start: int = 1) -> list[OverlapRow]:
    return [OverlapRow(i, (text,), None, text) for i, text in enumerate(texts, start)]


def overlap_of(train: list[str], validation: list[str], test: list[str]) -> Overlap:
    return find_overlap(
        {"train": rows_of(train), "validation": rows_of(validation), "test": rows_of(test)}
    )


def by_force(splits: dict[Split, list[str]], first: Split, second: Split) -> int:
    known = {normalise(text) for text in splits[first]}
    return sum(
        any(
            normalise(text) != normalise(other) and alike((text,), (other,)) >= NEAR
            for other in splits[first]
        )
        for text in splits[second]
        if first == second or normalise(text) not in known
    )


def counts(found: Overlap) -> tuple[int, ...]:
    return (
        *(found.train_test_near, found.train_validation_near, found.validation_test_near),
        found.train_near,
    )


WORDS = [f"w{i}" for i in range(40)]


def varied(rng: random.Random, base: list[str]) -> str:
    """A text with some of its words changed, left out or put in."""
    words = list(base)
    for _ in range(rng.choice([0, 1, 1, 2, 3, 6])):
        place = rng.randrange(len(words))
        change = rng.randrange(3)
        if change == 0:
            words[place] = rng.choice(WORDS)
        elif change == 1 and len(words) > 1:
            del words[place]
        else:
            words.insert(place, rng.choice(WORDS))
    return " ".join(words)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.sampled_from([3, 12, 30, 60, 110]))
def test_all_near_pairs_are_found_as_by_looking_at_every_pair(seed: int, length: int) -> None:
    rng = random.Random(seed)
    bases = [rng.choices(WORDS, k=rng.randint(1, length)) for _ in range(4)]
    splits: dict[Split, list[str]] = {
        split: [varied(rng, rng.choice(bases)) for _ in range(size)]
        for split, size in zip(SPLITS, (9, 4, 4), strict=True)
    }
    found = overlap_of(**splits)
    expected: list[tuple[Split, Split]] = [
        ("train", "test"),
        ("train", "validation"),
        ("validation", "test"),
    ]
    assert counts(found) == (
        *(by_force(splits, first, second) for first, second in expected),
        by_force(splits, "train", "train"),
    )
    # The order of the rows changes no count.
    for part in splits.values():
        rng.shuffle(part)
    assert counts(overlap_of(**splits)) == counts(found)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.text("ab ", min_size=1, max_size=30), min_size=1, max_size=3),
        min_size=2,
        max_size=6,
    )
)
def test_similarity_is_symmetric_and_the_sets_own(rows: list[list[str]]) -> None:
    found = sketch([normalise(part) for part in row] for row in rows)
    first, second = np.array(list(itertools.permutations(range(len(rows)), 2))).T
    one = similarities(rows, found, first, second)
    np.testing.assert_array_equal(one, similarities(rows, found, second, first))
    plain = [alike(rows[a], rows[b]) for a, b in zip(first, second, strict=True)]
    has_words = [
        all(part.strip() for row in (rows[a], rows[b]) for part in row)
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(one[has_words], np.array(plain)[has_words])


def test_long_texts_are_found_though_only_a_sample_of_each_is_looked_for() -> None:
    rng = random.Random(3)
    words = [f"word{i}" for i in range(3000)]
    train = [rng.choices(words, k=900) for _ in range(60)]
    # A sixth of the text is new, at its end: similarity 0.8 and a little more.
    test = [[*text[:805], *rng.choices(words, k=95)] for text in train]
    found = overlap_of([" ".join(text) for text in train], ["other"], [" ".join(t) for t in test])
    assert found.train_test_near == 60
    assert all(0.8 <= example.similarity < 0.83 for example in found.near_examples)
    # With a fifth of it new, it is another text.
    test = [[*text[:720], *rng.choices(words, k=180)] for text in train]
    found = overlap_of([" ".join(text) for text in train], ["other"], [" ".join(t) for t in test])
    assert found.train_test_near == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("great movie", "great movie!"),
        ("Great movie", "“great” movie …"),
        ("it 's fine .", "it's fine."),
        ("这部电影很好", "这部电影很好。"),
        ("これは とても 良い 映画です", "これはとても良い映画です"),
        ("один хороший фильм", "Один, хороший фильм."),
    ],
)
def test_short_texts_of_the_same_words_are_near(one: str, other: str) -> None:
    found = overlap_of([one, "something else"], ["neither of these"], [other, "new words here"])
    assert found.train_test == 0
    assert found.train_test_near == 1
    assert found.near_examples[0] == ("train", 1, "test", 1, 1.0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("great movie", "bad movie"),
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("what is 5 + 3", "what is 5 - 3"),
        ("!!!", "???"),
        ("这部电影很好", "这部电影不好"),
        ("", "a"),
    ],
)
def test_short_texts_of_other_words_are_not(one: str, other: str) -> None:
    assert counts(overlap_of([one], ["neither"], [other])) == (0, 0, 0, 0)


def test_scripts_without_spaces_are_compared_sign_by_sign() -> None:
    text = "昨天下午在北京举行的会议上各国代表讨论了气候变化问题并同意在明年春天再次会面"
    changed = text.replace("春", "秋")
    assert overlap_of([text], ["别的"], [changed]).train_test_near == 1
    assert overlap_of([text], ["别的"], [text[::-1]]).train_test_near == 0


def test_questions_on_one_passage_are_as_different_as_the_questions_are() -> None:
    passage = " ".join(f"fact{i}" for i in range(200))
    asked = (
        "who was the first mayor of the old town",
        "when did the old bridge fall down",
        "who was the mayor",
    )
    rows: dict[Split, list[OverlapRow]] = {
        split: [OverlapRow(1, (question, passage), None, "")]
        for split, question in zip(SPLITS, asked, strict=True)
    }
    assert counts(find_overlap(rows)) == (0, 0, 0, 0)
    rows["test"] = [OverlapRow(1, (f"{asked[0]} then", passage), None, "")]
    assert counts(find_overlap(rows)) == (1, 0, 0, 0)


def test_equal_rows_are_not_counted_as_near() -> None:
    found = overlap_of(["a b c", "A  b c"], ["d"], ["a B c"])
    assert (found.train_test, found.train_duplicates) == (1, 1)
    assert counts(found) == (0, 0, 0, 0)


def test_many_rows_made_of_the_same_pieces_take_bounded_work() -> None:
    rng = random.Random(0)
    pieces = [" ".join(rng.choices(WORDS, k=8)) for _ in range(12)]
    texts = [" ".join(rng.sample(pieces, 6)) for _ in range(3000)]
    found = overlap_of(texts[:2000], texts[2000:2500], texts[2500:])
    assert found.train_near <= 2000
