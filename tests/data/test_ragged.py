from __future__ import annotations

import numpy as np
import pytest

from bakeoff.data.ragged import Ragged, Texts


def test_ragged_keeps_rows_of_all_lengths() -> None:
    rows = [np.array(row, dtype=np.int32) for row in ([1, 2, 3], [], [4])]
    ragged = Ragged.from_rows(rows)
    assert len(ragged) == 3
    assert ragged.values.dtype == np.int32
    assert ragged.offsets.dtype == np.int64
    assert ragged.lengths.tolist() == [3, 0, 1]
    assert [ragged[i].tolist() for i in range(3)] == [[1, 2, 3], [], [4]]
    assert ragged[-1].tolist() == [4]
    for index in (3, -4):
        with pytest.raises(IndexError):
            ragged[index]


def test_ragged_may_be_empty() -> None:
    ragged = Ragged.from_rows([])
    assert len(ragged) == 0
    assert ragged.values.dtype == np.int32
    with pytest.raises(IndexError):
        ragged[0]


def test_texts_are_like_a_list() -> None:
    rows = ["storm", "", "été 🌧", "a\x00b"]
    texts = Texts.from_rows(rows)
    assert list(texts) == rows
    assert texts == rows
    assert texts != rows[:-1]
    assert texts[1:3] == rows[1:3]
    assert texts[-1] == rows[-1]
    assert len(texts) == 4
    assert Texts.from_rows([]) == []
