"""One colour and one shape a method, the same in every figure.

The first six are Okabe and Ito's (2008), told apart by colour-blind readers; the rest extend them.
Methods beyond the tenth repeat colours with another shape. Each colour has a twin for a dark page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PAIRS = (
    ("#0072B2", "#3D9BDE"),
    ("#E69F00", "#F2B134"),
    ("#009E73", "#2CC295"),
    ("#CC79A7", "#E29BC2"),
    ("#D55E00", "#F58238"),
    ("#56B4E9", "#9ADBFF"),
    ("#8C7A00", "#F0E442"),
    ("#882255", "#C9628F"),
    ("#332288", "#9389EC"),
    ("#7A4B1E", "#BD8A5C"),
)
NEUTRAL = ("#767676", "#9AA0A6")
SHAPES = {
    "circle": "M6 1.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9Z",
    "square": "M2 2H10V10H2Z",
    "diamond": "M6 .5L11.5 6L6 11.5L.5 6Z",
    "triangle-up": "M6 1L11.2 10.5H.8Z",
    "cross": "M4 1H8V4H11V8H8V11H4V8H1V4H4Z",
}


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a method is drawn."""

    color: str
    shape: str

    @property
    def path(self) -> str:
        """Its shape as an SVG path in a box of 12 by 12."""
        return SHAPES[self.shape]


BASELINE_LOOK = Look(color=NEUTRAL[0], shape="circle")


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for every method, by its place in the study."""
    shapes = list(SHAPES)
    return {
        name: Look(
            color=PAIRS[i % len(PAIRS)][0],
            shape=shapes[(i + i // len(PAIRS)) % len(shapes)],
        )
        for i, name in enumerate(methods)
    }


def dark_rules() -> str:
    """CSS that exchanges every colour for its twin, for the dark media query."""
    return "".join(
        f'svg [fill="{light}"]{{fill:{dark}}}svg [stroke="{light}"]{{stroke:{dark}}}'
        for light, dark in (*PAIRS, NEUTRAL)
    )
