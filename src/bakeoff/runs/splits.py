"""The splits of a study as records: rows, tokens and lengths of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bakeoff.formatting import shown_whole


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """One split as it was used; ``documents_truncated`` counts the rows that were cut.

    ``tokens_read`` are those of the rows' prompts as they are asked, layout and cut included, and
    ``tokens_written`` those of the answers to them, of a conversation the last; None in results
    that are older than these.
    """

    examples: int
    tokens_raw: int
    tokens_padded: int
    tokens_supervised: int
    padding_share: float
    documents_truncated: int
    rows_skipped: int
    tokens_read: int | None = None
    tokens_written: int | None = None


@dataclass(frozen=True, kw_only=True)
class LengthSpread:
    """Tokens: half, 95 % and 99 % of the rows have so many or fewer."""

    median: int
    p95: int
    p99: int


@dataclass(frozen=True, kw_only=True)
class SplitLengths:
    """Lengths of a split's rows before anything is cut.

    Attributes:
        row: of whole rows. answer: of what is supervised in them.
        cut_share: the share of rows that are longer than they may be.
        at_least: lengths of rows from this one on are lower bounds, as texts that are far longer
            than ``max_length`` are not read to their end; None where all are exact.
    """

    row: LengthSpread
    answer: LengthSpread
    cut_share: float
    at_least: int | None = None

    def sign(self, tokens: int) -> str:
        """What stands before a row's length for readers: that it is a lower bound, or nothing."""
        return "≥ " if self.at_least is not None and tokens >= self.at_least else ""

    def shown(self, tokens: int) -> str:
        """A row's length for readers."""
        return f"{self.sign(tokens)}{shown_whole(tokens)}"


@dataclass(frozen=True, kw_only=True)
class DataLengths:
    """Lengths of all splits.

    Attributes:
        max_length: the study's. cuts_1_percent: the one that would cut 1 % of the training rows.
        splits: by split. in_pieces: whether longer rows are taken in pieces and not cut.
    """

    max_length: int
    cuts_1_percent: int
    splits: dict[str, SplitLengths]
    in_pieces: bool = False


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The study's splits.

    Attributes:
        overlap: rows that are in more than one of them, by pair of splits.
        lengths: in tokens; None in older results.
        cautions: what was found in the data that makes scores worth less, in sentences.
    """

    train: SplitRecord
    validation: SplitRecord
    test: SplitRecord
    overlap: dict[str, Any]
    lengths: DataLengths | None = None
    cautions: tuple[str, ...] = ()
