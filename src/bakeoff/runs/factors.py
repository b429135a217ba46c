"""Records of a study whose methods are crossed with bases and prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """One base with one layout of the prompts: a run of its own, below the study's folder.

    Attributes:
        base, template: names of its levels; None of what is no factor.
        folder: from the study's, with slashes.
        status: ``waiting`` where it has no results yet.
        description: its base in words. base_fingerprint: of the weights and the tokenizer.
        tokenizer: a digest; only bases of one digest compare in nats per token.
        tokens_supervised: of the training rows. test_rows: of its own test set.
        test_tokens_raw, test_tokens_supervised: of those rows, in the base's own tokens.
        test_tokens_read, test_tokens_written: of their prompts as they are asked, and of what
            answers these.
        bits: by what its NLL per token on validation is multiplied for bits per byte.
    """

    base: str | None
    template: str | None
    folder: str
    status: Literal["complete", "partial", "waiting"]
    description: str = ""
    base_fingerprint: str = ""
    tokenizer: str = ""
    tokens_supervised: int | None = None
    test_rows: int | None = None
    test_tokens_raw: int | None = None
    test_tokens_supervised: int | None = None
    test_tokens_read: int | None = None
    test_tokens_written: int | None = None
    bits: float | None = None


@dataclass(frozen=True, kw_only=True)
class VarianceComponent:
    """How much of the spread of the test scores one part of the crossed design makes.

    Attributes:
        name: ``method``, ``base``, ``template``; two of them as ``method × base`` for what they do
            together beyond the sum of what each does; ``together`` for all three; ``seeds`` for
            what another seed alone changes.
        factors: that it is made of; none of ``seeds``.
        deviation: the standard deviation between its levels, in the metric's unit.
        share: of the variance of all parts, 0..1. low, high: its bounds at ``FactorsRecord.level``,
            over other test rows and other seeds.
    """

    name: str
    factors: tuple[str, ...]
    deviation: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class FactorsRecord:
    """What a study's methods were crossed with, and which of it mattered.

    Attributes:
        levels: by factor (``method``, ``base``, ``template``) its levels' names.
        bases: by name what each is. templates: layouts by name.
        cells: by label, such as ``tiny@short``, which follows each method's name.
        metric: by which the components were computed, on the test set.
        components: the largest share first; empty where there are none, and ``why`` says why.
        left_out: methods that do not stand in all cells, so that no component counts them.
        level: of the components' intervals. rows: test rows that all cells share.
        one_tokenizer: whether all bases have one, so that an NLL per token compares.
    """

    levels: dict[str, tuple[str, ...]]
    bases: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    cells: dict[str, CellRecord] = field(default_factory=dict)
    metric: str
    components: tuple[VarianceComponent, ...] = ()
    why: str | None = None
    left_out: tuple[str, ...] = ()
    level: float
    rows: int
    one_tokenizer: bool
