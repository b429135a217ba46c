"""The headings of the figures, in the order of the page."""

from typing import Final

GROUPS: Final = {
    "tradeoff": "Is the quality worth its price?",
    "quality": "How good each method is, and which differences are real",
    "cost": "What each method costs",
    "history": "How the study went",
}
