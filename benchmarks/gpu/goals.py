"""Ratios that are promised of one card, and whether they are reached on it."""

from __future__ import annotations

from typing import Any

import torch

from gpu.card import CUDA
from gpu.records import Report, SkippedError

CARD = "H100"
"""The card that the promises are of; on any other they are shown and not held."""


def hold(
    report: Report,
    name: str,
    measured: float | None,
    *,
    least: float | None = None,
    most: float | None = None,
    dry_run: bool,
) -> None:
    """Records a figure beside its goal as a part of a stage, which fails where a promise is broken.

    Args:
        report: of the stage. name: of the part. measured: None where there is no figure.
        least: the goal, if it is a lower one. most: if it is an upper one.
        dry_run: whether figures mean nothing.
    """
    with report.part(name) as found:
        goal = least if least is not None else most
        words = "at least" if least is not None else "at most"
        found |= {"measured": measured, "least": least, "most": most}
        if dry_run and measured is None:
            raise SkippedError("a card of shapes has no such figure")
        assert measured is not None, "no figure"
        is_reached = measured >= least if least is not None else most is None or measured <= most
        found["is_reached"] = is_reached
        verdict = "reached" if is_reached else "MISSED"
        found["says"] = f"{measured:.3g}, {words} {goal:g} on an {CARD}: {verdict}"
        is_of_card = not dry_run and CARD in torch.cuda.get_device_properties(CUDA).name
        assert is_reached or not is_of_card, found["says"]


def of_case(ratios: Any, rival: str) -> float | None:
    """The ratio over a rival in a summary of one case, ``{case: {rival: ratio}}``."""
    found = [case[rival] for case in ratios.values() if rival in case]
    return float(found[0]) if found else None
