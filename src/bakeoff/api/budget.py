"""Runs within a budget: the study is cut to fit once, and goes on in that shape."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from bakeoff.api.study import Study
from bakeoff.errors import ConfigError
from bakeoff.execution.stopping import reserve_of
from bakeoff.files import write_bytes
from bakeoff.formatting import shown_seconds
from bakeoff.runs.folder import BUDGET_FILE, DATA_FOLDER, STUDY_FILE
from bakeoff.runs.growth import FREE

_MOST_KEPT: Final = 0.5
"""Of the time that is left: training gets the rest, whatever comes after it."""


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    """A study in the shape that its budget holds.

    Attributes:
        study: as it is run. given: the digest of the study as it was given.
        overrides: what was cut. note: says so; None where nothing is known of the time.
        after_training: seconds that are kept for what comes after training, for each cell of a
            study with bases or templates; one otherwise, and none without a budget.
        budget: seconds that it was cut for; None where that is not known.
        is_new: whether the run begins in this shape, and no earlier call has begun it.
    """

    study: Study
    given: str = ""
    overrides: tuple[str, ...] = ()
    note: str | None = None
    after_training: tuple[float, ...] = ()
    budget: float | None = None
    is_new: bool = False

    def write(self, folder: Path) -> None:
        """Keeps the shape in the run's folder, for the calls that go on with it."""
        kept = {
            "study": self.given,
            "overrides": list(self.overrides),
            "note": self.note,
            "after_training": list(self.after_training),
            "budget": self.budget,
        }
        write_bytes(folder / BUDGET_FILE, (json.dumps(kept, indent=1) + "\n").encode("utf-8"))


def within_budget(
    study: Study,
    place: Path,
    console: Console,
    *,
    budget: float | None,
    started: float,
    device: str,
    fresh: bool,
) -> Budgeted:
    """Cuts a study so that its budget holds it, before anything of it is written.

    A run that was cut goes on as it was, also where a later call names another budget or none. One
    that was begun without a budget is not cut afterwards. A call that was stopped before the run
    began leaves its shape to calls with the same budget alone.

    Args:
        study: as it was given. place: the run's folder. console: where it is shown.
        budget: seconds, None where there is no end. started: on the monotonic clock.
        device: as of the run. fresh: whether an earlier run is put aside.

    Raises:
        ConfigError: the budget does not even hold the baselines.
    """
    given = _digest(study)
    if not fresh:
        kept = _kept(place, study, given, budget)
        if kept is not None:
            console.print(f"  [cyan]budget[/] {kept.note}; --fresh plans again", highlight=False)
            return kept
        if (place / STUDY_FILE).exists():
            return Budgeted(study=study)
    if budget is None:
        return Budgeted(study=study)
    # Heavy, so loaded only where a study is to be planned.
    from bakeoff.study.budget import fit_to_budget

    left = started + budget - reserve_of(budget) - time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        console.status("planning within the budget") as status,
    ):
        if study.rows is not None:
            study.rows.write(Path(folder) / DATA_FOLDER)
        fitted = fit_to_budget(
            study.at(Path(folder)), device, left, lambda text: status.update(f"planning: {text}")
        )
    if fitted is None:
        return Budgeted(study=study)
    left = started + budget - reserve_of(budget) - time.monotonic()
    least = fitted.seconds["load"] + fitted.seconds["baselines"]
    if not fitted.fits and left < least:
        needed = budget - left + sum(fitted.seconds.values())
        there = f"{shown_seconds(left)} of it are" if left > 0.0 else "nothing of it is"
        raise ConfigError(
            f"--budget {shown_seconds(budget)}: {there} left after planning and for the report, "
            "which does not hold the baselines of this study "
            f"({shown_seconds(least)}); give about {shown_seconds(needed)} for its smallest form"
        )
    note = fitted.said(budget)
    console.print(f"  [cyan]budget[/] {note}", highlight=False, soft_wrap=True)
    return Budgeted(
        study=study.with_overrides(fitted.overrides) if fitted.overrides else study,
        given=given,
        overrides=fitted.overrides,
        note=note,
        after_training=tuple(
            after if number + 1 < len(fitted.after_training) else min(after, _MOST_KEPT * left)
            for number, after in enumerate(fitted.after_training)
        ),
        budget=budget,
        is_new=True,
    )


def _digest(study: Study) -> str:
    """Of everything that decides what a study finds."""
    resolved = study.at(Path(study.name)).resolved
    deciding = {key: value for key, value in resolved.items() if key not in FREE}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode("utf-8")).hexdigest()


def _kept(place: Path, study: Study, given: str, budget: float | None) -> Budgeted | None:
    """The shape that an earlier call gave to this very study."""
    has_begun = (place / STUDY_FILE).exists()
    try:
        kept = json.loads((place / BUDGET_FILE).read_text(encoding="utf-8"))
        overrides, note = tuple(map(str, kept["overrides"])), str(kept["note"])
        after, digest, before = kept["after_training"], kept["study"], kept.get("budget")
        # One number in files of before bases and prompts were cut too.
        seconds = tuple(map(float, after if isinstance(after, list) else [after]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if digest != given or not (has_begun or (budget is not None and before == budget)):
        return None
    return Budgeted(
        study=study.with_overrides(overrides) if overrides else study,
        given=given,
        overrides=overrides,
        note=note,
        after_training=seconds,
        budget=before,
        is_new=not has_begun,
    )
