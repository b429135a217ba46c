"""Choices as branches: every token but a choice's last is read once, with what follows it."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from numpy.typing import NDArray

from bakeoff.engine.choice_packing import Branches, branch_passes, pack

PAD = 99


def choices_of(*lengths: int) -> list[NDArray[np.int32]]:
    """Choice c of n tokens is 10 c, 10 c + 1, ..."""
    return [
        np.arange(10 * number, 10 * number + length, dtype=np.int32)
        for number, length in enumerate(lengths)
    ]


def read(branches: Branches) -> list[tuple[int, int, int, int]]:
    parts = (branches.choice, branches.offset, branches.ids, branches.targets)
    return list(zip(*(part.tolist() for part in parts), strict=True))


@pytest.mark.parametrize("most", [1, 3, 4, 100])
@pytest.mark.parametrize("lengths", [(1,), (1, 1), (4, 1, 2, 6), (3, 3, 3), (1, 9), (2, 2, 2, 2)])
def test_every_token_after_the_first_is_predicted_once(lengths: tuple[int, ...], most: int) -> None:
    packed = pack(choices_of(*lengths), most)
    assert packed.first_M.tolist() == [10 * number for number in range(len(lengths))]
    found = list(chain.from_iterable(map(read, packed.passes)))
    assert found == [
        (number, offset, 10 * number + offset, 10 * number + offset + 1)
        for number, length in enumerate(lengths)
        for offset in range(length - 1)
    ]
    widths = [len(branches.ids) for branches in packed.passes]
    assert packed.width == max(widths, default=0)
    for branches in packed.passes:
        assert len(branches.ids) <= most or len(set(branches.choice.tolist())) == 1
    assert len(widths) <= sum(length > 1 for length in lengths)


def test_passes_hold_as_much_as_they_may() -> None:
    packed = pack(choices_of(3, 3, 4, 2, 1, 2), most=4)
    assert [branches.choice.tolist() for branches in packed.passes] == [
        [0, 0, 1, 1],
        [2, 2, 2, 3],
        [5],
    ]


def test_rows_of_different_widths_are_padded() -> None:
    rows = [pack(choices_of(2, 3), 3), pack(choices_of(1), 3), pack(choices_of(3, 4, 1), 3)]
    first, second = branch_passes(rows, PAD)
    assert first.ids_RQ.tolist() == [[0, 10, 11], [PAD, PAD, PAD], [0, 1, PAD]]
    assert first.branch_RQ.tolist() == [[0, 1, 1], [-1, -1, -1], [0, 0, -1]]
    assert first.offset_RQ.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert first.source_N.tolist() == [0, 1, 2, 6, 7]
    assert first.row_N.tolist() == [0, 0, 0, 2, 2]
    assert first.targets_N.tolist() == [1, 11, 12, 1, 2]
    assert first.choice_N.tolist() == [0, 1, 1, 0, 0]
    assert second.ids_RQ.tolist() == [[PAD] * 3, [PAD] * 3, [10, 11, 12]]
    assert second.row_N.tolist() == [2, 2, 2]
    assert branch_passes([pack(choices_of(1, 1))], PAD) == []
