"""What a claim is: what it says, what is trained for it, what is computed, and what decides it.

A claim's file is data and one pure function. Nothing in it trains, loads a base or decides; so a
claim is listed at once, and its rule can be held against planted truths without a base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

Values = Mapping[str, Floats]
"""What was measured, by condition: [S] one value for each repeat, or [] where there is one for all.

A condition of a trained entrant is its name, and holds the test loss of each seed in nats per
token; ``NAME@SET`` is that of a further test set, ``NAME#validation`` and ``NAME#rate`` its
validation loss and its chosen learning rate, ``PART:NAME`` that of another part than the main one.
``rows#input`` is how many tokens of a test row are read before its answer, on average.
``zero_shot`` is the untuned base, ``few_shot`` the same with worked examples, [S] where every seed
draws its own. Where a claim is about several bases, ``0/`` to ``B-1/`` stand in
front, in the order of their parameters, and ``log_parameters`` is [B]."""

Rule = Literal["above", "below", "within"]
SizeName = Literal["quick", "full"]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One effect and the side of its threshold that the claim names.

    The effect is ``above`` the threshold, ``below`` it, or ``within`` it on either side of zero.

    Attributes:
        name: of the effect, as ``Claim.statistic`` gives it. words: what it is, for readers.
        threshold: fixed before anything is measured, in the effect's unit.
    """

    name: str
    rule: Rule
    threshold: float
    words: str

    def __post_init__(self) -> None:
        assert self.rule != "within" or self.threshold > 0.0, "there is no room within zero"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a training part is, the same for every claim, so that claims share entrants.

    Attributes:
        seeds: with which each chosen setting is trained and tested.
        train_rows, validation_rows, test_rows: of the data, where there are so many.
        epochs: of every training. rates: learning rates that every entrant tries
            at first. growth: by how many a grid may grow while its best lies at an edge.
        rounds: repeats of what is timed, in turns. lengths: of prompts and prefixes on a curve.
    """

    name: SizeName
    seeds: int
    train_rows: int
    validation_rows: int
    test_rows: int
    epochs: int
    rates: int
    growth: int
    rounds: int
    lengths: tuple[int, ...]


SIZES: Mapping[SizeName, Size] = {
    "quick": Size(
        name="quick",
        seeds=5,
        train_rows=128,
        validation_rows=48,
        test_rows=256,
        epochs=2,
        rates=3,
        growth=0,
        rounds=15,
        lengths=(5, 20, 100),
    ),
    "full": Size(
        name="full",
        seeds=6,
        train_rows=2048,
        validation_rows=200,
        test_rows=2000,
        epochs=1,
        rates=4,
        growth=4,
        rounds=40,
        lengths=(1, 5, 20, 50, 100),
    ),
}


@dataclass(frozen=True, kw_only=True)
class BaseFacts:
    """What a design may ask of a base, without its weights.

    Attributes:
        width: of the hidden states. positions: the most tokens it takes, None where open.
        linears: by name of each linear layer in its blocks, (inputs, outputs).
        fingerprint: of its weights and configuration.
        room: positions that are left beside a row of the data, None where open.
        learnt: positions that it was trained on, where these are known to be fewer than it takes.
    """

    reference: str
    parameters: int
    width: int
    positions: int | None
    linears: Mapping[str, tuple[int, int]]
    fingerprint: str = ""
    room: int | None = None
    learnt: int | None = None


Entrants = Mapping[str, Mapping[str, Any]]
"""By name in the claim, a study's method: ``kind`` and options; see ``entrants.py``."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One training part of a design. Parts of all claims that differ in ``entrants`` alone are one
    study, in which equal entrants are trained once.

    Attributes:
        name: in front of its conditions; ``""`` for the main part.
        train_rows: where they are not the size's; epochs then grow, so that updates stay alike.
        max_length: of rows, where it is not the data's.
        sets: further test sets: ``desks`` (the data's held-out part), ``sheets`` (events as lists
            of facts instead of articles), ``corpus`` (running text).
        tuned: whether learning rates are searched, else each entrant has its own.
        shots: whether prompts with worked examples take part, as the baseline ``few_shot``.
        prompts: whether the untuned base is asked by written prompts, as ``prompt_1`` and so on.
        desks: whether the data are those without the held-out desks.
        labelled: whether class labels are learnt, where the data have some: their own, or the
            subjects of the made articles. Else it is trained as any other part.
    """

    name: str = ""
    entrants: Entrants = field(default_factory=dict)
    train_rows: int | None = None
    max_length: int | None = None
    sets: tuple[str, ...] = ()
    tuned: bool = True
    shots: bool = False
    prompts: bool = False
    desks: bool = False
    labelled: bool = False


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A curve of a claim's figure: ``y`` against ``x``.

    Attributes:
        points: (what stands on the x axis, the mean over repeats, the repeats' values).
        of_bases: whether the points are the bases of the run in their order, whose names then
            stand on the x axis.
    """

    x_title: str
    y_title: str
    points: tuple[tuple[str, float, tuple[float, ...]], ...]
    of_bases: bool = False


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What measurements of a claim vary by, for planted truths and for the design's power.

    Attributes:
        seed: standard deviation from repeat to repeat. row: of one test row's part that a
            condition has alone; 0 where no rows are drawn.
    """

    seed: float
    row: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A made-up world in which the claim is known to hold, or not to: the conditions' means."""

    supported: Mapping[str, Any]
    contradicted: Mapping[str, Any]
    noise: Noise


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence of the literature as a study whose rule is fixed before it is run.

    Attributes:
        name: as the command line takes it. title: the sentence. source: paper and section.
        hypothesis: the sentence as something that can be measured.
        supported_if, contradicted_if: by which it is decided, in words.
        does_not_show: what neither verdict says.
        unit: of the effects.
        contrasts: what must hold. joined: all of them, or any.
        statistic: from what was measured to the effects, by the contrasts' names, [S] each; pure.
        design: the training parts on a base; none for a claim that trains nothing.
        measure: ``MODULE:FUNCTION`` of what is measured besides, imported when it is.
        repeats: what the first axis counts. over_bases: whether the bases are its conditions.
        quick: whether ``--quick`` runs it.
        curve: what is drawn besides the effect: a curve, several, or None.
        figure_only: conditions that only the curve has. Where such an entrant or its part is
            missing, or has other seeds, the claim is decided all the same.
        diverged_is_worst: whether an entrant that diverged counts as one of infinite loss, as
            where a design tries fixed rates; else one that did with every seed makes the claim
            untestable, and a seed with which one did is left out.
        decides_nothing: why the effect decides nothing, such as that it is only a bound of the true
            one; empty where it decides.
        untestable: why what was measured cannot test the claim, though all of it is there, as where
            two conditions turn out to be one; empty where it can.
        says: a further sentence of what was measured; empty for none.
    """

    name: str
    title: str
    source: str
    hypothesis: str
    supported_if: str
    contradicted_if: str
    does_not_show: str
    unit: str
    contrasts: tuple[Contrast, ...]
    joined: Literal["all", "any"] = "all"
    statistic: Callable[[Values], Mapping[str, Floats]]
    planted: Planted
    design: Callable[[BaseFacts, Size], tuple[Part, ...]] = lambda facts, size: ()
    measure: str | None = None
    repeats: Literal["seeds", "matrices", "rounds"] = "seeds"
    over_bases: bool = False
    quick: bool = False
    curve: Callable[[Values], Curve | Sequence[Curve] | None] = lambda values: None
    figure_only: tuple[str, ...] = ()
    diverged_is_worst: bool = False
    decides_nothing: Callable[[Values], str] = lambda values: ""
    untestable: Callable[[Values], str] = lambda values: ""
    says: Callable[[Values], str] = lambda values: ""

    @property
    def margin(self) -> float:
        """The first contrast's threshold."""
        return self.contrasts[0].threshold
