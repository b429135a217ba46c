"""Rows whose inputs are nearly the same, found without looking at every pair.

Two rows are near where the sets of their shingles have a Jaccard similarity of ``NEAR`` or more,
and each part that both have (a column, a message) one of ``NEAR_PART``: questions on one passage
are as different as the questions are.

Pairs to look at come from a prefix filter (Bayardo, Ma and Srikant 2007, "Scaling up all pairs
similarity search"): with the shingles of every row in one order, rare ones first, two rows that are
near share one of their first fifth. That finds every pair of rows up to ``_SAMPLE`` shingles. Of
longer rows the shingles with the least hashes stand for all, and a pair may be missed with a small
probability. Each pair is then compared by all of its shingles, so that none is found falsely.

Nothing is drawn, and the order of the rows decides nothing but which of several is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.cleaning import normalise
from bakeoff.data.hygiene.shingles import MOST_PARTS, Hashes, Index, Parts, mixed, shingled

NEAR: Final = 0.8
"""As in Lee et al. 2022, "Deduplicating training data makes language models better"."""
NEAR_PART: Final = 0.5
_SAMPLE: Final = 128
"""Shingles that stand for a longer row."""
_NEAR_SAMPLE: Final = 0.55
"""Rows that are just near and differ in length by a fifth have samples with 0.67 in common, on the
average; three standard deviations below that."""
_HOLDERS: Final = 16
"""Of a shingle, each row is compared with so many others next in length: where a shingle that is
among the rarest of its row is in more, all rows are made from few pieces."""
_TRIES: Final = 16
"""Rows that are compared with one row, those that share most first."""
_BATCH: Final = 1 << 20
"""Shingles that are compared at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sketch:
    """What rows are looked for by.

    Attributes:
        values: up to ``_SAMPLE`` least hashes of each row, rising. offsets: [rows + 1] of these.
        sizes: [rows] how many shingles there are in all. contents: [rows] a hash of all words.
    """

    values: Hashes
    offsets: Index
    sizes: Index
    contents: Hashes

    def take(self, index: Index) -> Sketch:
        """The rows at some places."""
        counts = np.diff(self.offsets)[index]
        ends = np.cumsum(counts)
        places = np.arange(int(counts.sum())) + np.repeat(
            self.offsets[index] - (ends - counts), counts
        )
        return Sketch(
            values=self.values[places],
            offsets=np.concatenate([[0], ends]),
            sizes=self.sizes[index],
            contents=self.contents[index],
        )


def sketch(rows: Iterator[Parts]) -> Sketch:
    """Reads all rows once.

    Args:
        rows: their texts, normalised.
    """
    values, kept, sizes, contents = [], [], [], []
    for found in shingled(rows):
        counts = np.diff(found.offsets)
        place = np.arange(len(found.values)) - np.repeat(found.offsets[:-1], counts)
        values.append(found.values[place < _SAMPLE])
        kept.append(np.minimum(counts, _SAMPLE))
        sizes.append(counts)
        contents.append(found.contents)
    none = np.zeros(0, dtype=np.int64)
    return Sketch(
        values=np.concatenate([none.astype(np.uint64), *values]),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([none, *kept]))]),
        sizes=np.concatenate([none, *sizes]),
        contents=np.concatenate([none.astype(np.uint64), *contents]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Rows that may be near, ``first < second``, and the number of rare shingles they share."""

    first: Index
    second: Index
    shared: Index


def candidates(found: Sketch) -> Pairs:
    """Pairs of rows that are worth comparing.

    Args:
        found: of rows of different words.
    """
    counts = np.diff(found.offsets)
    rows = np.repeat(np.arange(len(counts)), counts)
    known, place, holders = np.unique(found.values, return_inverse=True, return_counts=True)
    rank = np.empty(len(known), dtype=np.int64)
    rank[np.argsort(holders, kind="stable")] = np.arange(len(known))
    # Sorted by row, and in each by rank: the rarest shingle first, equally rare ones by hash.
    ordered = np.sort(rows * len(known) + rank[place])
    rows, ranks = np.divmod(ordered, max(1, len(known)))
    bar = np.where(found.sizes > NEAR * _SAMPLE, _NEAR_SAMPLE, NEAR)
    prefix = counts - np.ceil(bar * counts - 1e-9).astype(np.int64) + 1
    is_rare = np.arange(len(rows)) - np.repeat(found.offsets[:-1], counts) < prefix[rows]
    is_shared = np.sort(holders)[ranks] > 1 if len(ranks) else is_rare
    rows, ranks = rows[is_rare & is_shared], ranks[is_rare & is_shared]
    # The holders of one shingle, shortest first; equally long ones by their words.
    order = np.lexsort((found.contents[rows], found.sizes[rows], ranks))
    rows, ranks = rows[order], ranks[order]
    codes = [np.zeros(0, dtype=np.int64)]
    for step in range(1, min(_HOLDERS, len(rows) - 1) + 1):
        one, other = rows[:-step], rows[step:]
        small, large = found.sizes[one], found.sizes[other]
        fits = (ranks[:-step] == ranks[step:]) & (small >= NEAR * large)
        one, other = one[fits], other[fits]
        codes.append(np.minimum(one, other) * len(counts) + np.maximum(one, other))
    pairs, shared = np.unique(np.concatenate(codes), return_counts=True)
    first, second = np.divmod(pairs, max(1, len(counts)))
    return Pairs(first=first, second=second, shared=shared)


def similarities(
    rows: Sequence[Parts], found: Sketch, first: Index, second: Index
) -> NDArray[np.float64]:
    """[pairs] the Jaccard similarity of each pair; 0 where a part of it differs too much.

    Args:
        rows: their texts, as found. found: their sketch.
        first, second: [pairs] indices of rows.
    """
    results = np.zeros(len(first))
    is_long = np.maximum(found.sizes[first], found.sizes[second]) > _SAMPLE
    for pairs in (np.flatnonzero(~is_long), np.flatnonzero(is_long)):
        ends = np.cumsum(found.sizes[first[pairs]] + found.sizes[second[pairs]])
        begin = 0
        while begin < len(pairs):
            done = ends[begin - 1] if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, done + _BATCH)))
            one, other = first[pairs[begin:end]], second[pairs[begin:end]]
            used, place = np.unique(np.concatenate([one, other]), return_inverse=True)
            whole = found.take(used)
            if is_long[pairs[begin]]:
                whole = _whole(rows, used)
            results[pairs[begin:end]] = _jaccard(whole, *np.split(place, 2))
            begin = end
    return results


def _whole(rows: Sequence[Parts], used: Index) -> Sketch:
    """All shingles of some rows."""
    chunks = list(shingled([normalise(part) for part in rows[i]] for i in used.tolist()))
    sizes = np.concatenate([np.diff(chunk.offsets) for chunk in chunks])
    return Sketch(
        values=np.concatenate([chunk.values for chunk in chunks]),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        sizes=sizes,
        contents=np.concatenate([chunk.contents for chunk in chunks]),
    )


def _jaccard(rows: Sketch, first: Index, second: Index) -> NDArray[np.float64]:
    """See ``similarities``.

    Args:
        rows: with all their shingles. first, second: [pairs] indices of these.
    """
    parts = (rows.values & np.uint64(MOST_PARTS - 1)).astype(np.int64)
    pair = np.arange(len(first))
    keys, kinds = [], []
    size = np.zeros((2, len(first), MOST_PARTS), dtype=np.int64)
    for side, index in enumerate((first, second)):
        number = rows.sizes[index]
        of_pair = np.repeat(pair, number)
        within = np.arange(len(of_pair)) - np.repeat(np.cumsum(number) - number, number)
        where = rows.offsets[index][of_pair] + within
        kind = of_pair * MOST_PARTS + parts[where]
        size[side] = np.bincount(kind, minlength=size[side].size).reshape(size[side].shape)
        keys.append(rows.values[where] ^ mixed(of_pair.astype(np.uint64)))
        kinds.append(kind)
    order = np.argsort(np.concatenate(keys), kind="stable")
    sorted_keys, kind = np.concatenate(keys)[order], np.concatenate(kinds)[order]
    both = kind[1:][sorted_keys[1:] == sorted_keys[:-1]]
    shared = np.bincount(both, minlength=size[0].size).reshape(size[0].shape)
    whole = shared.sum(1) / (size.sum((0, 2)) - shared.sum(1))
    have = (size > 0).all(0)
    of_part = np.where(have, shared / np.maximum(1, size.sum(0) - shared), 1.0)
    return np.where(of_part.min(1) >= NEAR_PART, whole, 0.0)


def near_rows(
    rows: Sequence[Parts], found: Sketch, is_in: NDArray[np.bool_], asked: Sequence[tuple[int, int]]
) -> list[tuple[Index, NDArray[np.float64]]]:
    """For each row a row of another split that is near, where there is one.

    Args:
        rows: their texts, of different words. found: their sketch.
        is_in: [splits, rows] where each row's words are.
        asked: pairs of splits (from, in): for rows of the second, near ones of the first.

    Returns:
        For each pair asked: [rows] the index of a near row, -1 where there is none; and how near.
    """
    pairs = candidates(found)
    first = np.concatenate([pairs.first, pairs.second])
    second = np.concatenate([pairs.second, pairs.first])
    shared = np.concatenate([pairs.shared, pairs.shared])
    results = [(np.full(len(rows), -1), np.zeros(len(rows))) for _ in asked]
    keys, others, counts = [], [], []
    for number, (source, target) in enumerate(asked):
        fits = is_in[source][first] & is_in[target][second]
        keys.append(second[fits] + number * len(rows))
        others.append(first[fits])
        counts.append(shared[fits])
    key, other, count = (np.concatenate(part) for part in (keys, others, counts))
    order = np.lexsort((found.contents[other], -count, key))
    key, other = key[order], other[order]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else key
    ends = np.append(starts[1:], len(key))
    for turn in range(_TRIES):
        is_open = starts + turn < ends
        starts, ends = starts[is_open], ends[is_open]
        if not len(starts):
            break
        question, row = np.divmod(key[starts], len(rows))
        partner = other[starts + turn]
        alike = _each_once(rows, found, row, partner)
        for one in range(len(asked)):
            here = (question == one) & (alike >= NEAR)
            results[one][0][row[here]] = partner[here]
            results[one][1][row[here]] = alike[here]
        starts, ends = starts[alike < NEAR], ends[alike < NEAR]
    return results


def _each_once(
    rows: Sequence[Parts], found: Sketch, one: Index, other: Index
) -> NDArray[np.float64]:
    """The similarities of pairs, of which several may be the same."""
    codes = np.minimum(one, other) * len(rows) + np.maximum(one, other)
    pairs, place = np.unique(codes, return_inverse=True)
    alike: NDArray[np.float64] = similarities(rows, found, *np.divmod(pairs, len(rows)))[place]
    return alike
