"""The headings of the figures, in the order of the page."""

from typing import Final

GROUPS: Final = {
    "tradeoff": "Is the quality worth its price?",
    "quality": "How good each method is, and which differences are real",
    "metrics": "The other metrics",
    "margins": "Every verdict by the margin",
    "cost": "What each method costs",
    "history": "How the study went",
}
FOLDED: Final = frozenset({"metrics", "margins", "cost", "history"})
"""What the page shows once it is asked for: the table has the costs as figures."""
CURVE_GROUP: Final = "rows"
"""Of the section on the learning curve, which has words and a table beside its figure."""
