"""Groups of rows that given splits share: what is learnt of a group helps on its other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bakeoff.types import Split


class SharedGroups(NamedTuple):
    """Groups that two splits have.

    Attributes:
        first, second: the splits. groups: up to three of them, sorted. num_groups: all of them.
        rows: rows of the second split that are in these groups.
    """

    first: Split
    second: Split
    groups: tuple[str, ...]
    num_groups: int
    rows: int


def shared_groups(
    splits: Mapping[Split, Sequence[str]], pairs: Sequence[tuple[Split, Split]]
) -> list[SharedGroups]:
    """The pairs of splits that share groups.

    Args:
        splits: the group of each row. pairs: that are compared.
    """
    found = []
    for first, second in pairs:
        shared = set(splits[first]) & set(splits[second])
        if shared:
            rows = sum(group in shared for group in splits[second])
            shown = tuple(sorted(shared)[:3])
            found.append(SharedGroups(first, second, shown, len(shared), rows))
    return found
