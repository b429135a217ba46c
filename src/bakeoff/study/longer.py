"""A study that goes on with more epochs in the folder of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bakeoff.config import differences
from bakeoff.errors import StoreError
from bakeoff.runs.growth import without_free_keys
from bakeoff.runs.reading import read_results
from bakeoff.runs.settings import setting

_EPOCHS: Final = "protocol.epochs"


def why_not_longer(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> str | None:
    """Whether a study may go on in a folder from the last epoch of the run that it holds.

    Args:
        before: the run's study, with every default. now: what is asked for, likewise.
        folder: the run's.

    Returns:
        None where it may: the studies differ in the number of epochs alone, there are more of them
        now, and what was trained is what more epochs would have begun with. Else why not; an empty
        text where they differ in anything else.
    """
    changed = differences(without_free_keys(before), without_free_keys(now))
    had, wanted = setting(before, _EPOCHS), setting(now, _EPOCHS)
    if len(changed) != 1 or not isinstance(had, int) or not isinstance(wanted, int):
        return ""
    if had == wanted:
        return ""
    if wanted < had:
        return f"Training cannot be taken back to {wanted} epochs."
    schedule = setting(now, "protocol.schedule")
    if schedule != "constant":
        return (
            f"Training cannot go on from epoch {had}: with protocol.schedule: {schedule} the rate "
            f"has fallen to zero by then, and with {wanted} epochs it would have been another in "
            "every epoch before."
        )
    if setting(now, "protocol.warmup_ratio"):
        return (
            f"Training cannot go on from epoch {had}: protocol.warmup_ratio is a share of all "
            f"updates, so that with {wanted} epochs the rate would have risen for longer."
        )
    if setting(now, "search") is not None:
        return _why_not_searched(now, folder, had)
    return None


def _why_not_searched(now: Mapping[str, Any], folder: Path, had: int) -> str | None:
    if setting(now, "search.space.epochs") is not None:
        return "Training cannot go on: search.space.epochs says how long each candidate trains."
    try:
        is_complete = read_results(folder).status == "complete"
    except StoreError:
        is_complete = False
    if is_complete:
        return None
    return (
        f"The search is judged by the rungs of {had} epochs; finish the study with them first, and "
        "the chosen settings can then go on."
    )
