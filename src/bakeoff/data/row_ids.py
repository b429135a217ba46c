"""What names a row by its content, so that answers from elsewhere find it again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Final

_DIGITS: Final = 16


def row_ids(inputs: Iterable[str]) -> list[str]:
    """[N] an id for each row: the hash of its input, as found and uncut.

    It does not depend on the base, the template or the row's place. Rows with one input get
    ``-2``, ``-3``, ... behind it, in their order.

    Args:
        inputs: [N] of each row.
    """
    seen: Counter[str] = Counter()
    found = []
    for text in inputs:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        seen[digest] += 1
        found.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return found
