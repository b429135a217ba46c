"""Choices of an example as branches behind its prompt, in passes that are not too wide.

A choice's first token is predicted by the prompt's last one; of a choice of several tokens all but
the last are read, and each predicts the next. What is read of an example's choices stands in one
row, one choice after the other.

Axis letters: ``R`` rows, ``Q`` positions of a pass, ``M`` choices, ``N`` tokens that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
Ints = NDArray[np.int64]

MOST_TOKENS = 128
"""Tokens of one row in one pass, unless a single choice has more: each meets the keys of all
others, though it sees its own choice's alone."""


@dataclass(frozen=True, kw_only=True)
class Branches:
    """Some choices of one example, for one pass; all are [N].

    Attributes:
        ids: what is read. targets: the token that follows each.
        choice: which choice each is of. offset: its number in that choice.
    """

    ids: Ints
    targets: Ints
    choice: Ints
    offset: Ints


@dataclass(frozen=True, kw_only=True)
class PackedChoices:
    """All choices of one example.

    Attributes:
        first_M: [M] the first tokens. passes: the rest; empty where no choice has a second token.
    """

    first_M: Ints
    passes: tuple[Branches, ...]

    @property
    def width(self) -> int:
        """Positions of the widest pass."""
        return max((len(branches.ids) for branches in self.passes), default=0)


def pack(choices: Sequence[Ids], most: int = MOST_TOKENS) -> PackedChoices:
    """Lays an example's choices out in their order, each whole in one pass.

    Args:
        choices: token ids, none empty. most: tokens of a pass.
    """
    groups: list[list[int]] = []
    room = 0
    for number, ids in enumerate(choices):
        count = len(ids) - 1
        if count == 0:
            continue
        if not groups or count > room:
            groups.append([])
            room = most
        groups[-1].append(number)
        room -= count
    return PackedChoices(
        first_M=np.array([ids[0] for ids in choices], dtype=np.int64),
        passes=tuple(_branches(choices, numbers) for numbers in groups),
    )


def _branches(choices: Sequence[Ids], numbers: list[int]) -> Branches:
    counts = [len(choices[number]) - 1 for number in numbers]
    return Branches(
        ids=np.concatenate([choices[number][:-1] for number in numbers]).astype(np.int64),
        targets=np.concatenate([choices[number][1:] for number in numbers]).astype(np.int64),
        choice=np.repeat(np.array(numbers, dtype=np.int64), counts),
        offset=np.concatenate([np.arange(count, dtype=np.int64) for count in counts]),
    )


@dataclass(frozen=True, kw_only=True)
class BranchPass:
    """One pass over branches of several rows, padded on the right.

    Attributes:
        ids_RQ: [R, Q] what is read. branch_RQ: [R, Q] the choice of each, -1 where padded.
        offset_RQ: [R, Q] the number of each in its choice.
        source_N: [N] flat index (row * Q + position) of what is no padding, rising.
        row_N: [N] the row of each.
        targets_N: [N] the token after each. choice_N: [N] its choice's number in its row.
    """

    ids_RQ: Ints
    branch_RQ: Ints
    offset_RQ: Ints
    source_N: Ints
    row_N: Ints
    targets_N: Ints
    choice_N: Ints


def branch_passes(packed_R: Sequence[PackedChoices], pad_id: int) -> list[BranchPass]:
    """The passes over all rows' branches; rows with fewer passes are padding in the last ones."""
    found = []
    for number in range(max(len(packed.passes) for packed in packed_R)):
        present = [
            (row, packed.passes[number])
            for row, packed in enumerate(packed_R)
            if number < len(packed.passes)
        ]
        width = max(len(branches.ids) for _, branches in present)
        shape = (len(packed_R), width)
        ids_RQ, offset_RQ = np.full(shape, pad_id), np.zeros(shape, dtype=np.int64)
        branch_RQ = np.full(shape, -1)
        for row, branches in present:
            part = slice(len(branches.ids))
            ids_RQ[row, part], offset_RQ[row, part] = branches.ids, branches.offset
            branch_RQ[row, part] = branches.choice
        source_N = np.flatnonzero(branch_RQ >= 0)
        found.append(
            BranchPass(
                ids_RQ=ids_RQ,
                branch_RQ=branch_RQ,
                offset_RQ=offset_RQ,
                source_N=source_N,
                row_N=source_N // width,
                targets_N=np.concatenate([branches.targets for _, branches in present]),
                choice_N=np.concatenate([branches.choice for _, branches in present]),
            )
        )
    return found
