"""The process that measures what methods cost: ``python -m bakeoff.study.measuring JOB.json``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from bakeoff.base.weights.sources import TINY_REFERENCE
from bakeoff.measure.costs import Opener, serve
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.opening import load_base, load_plain, open_workbench
from bakeoff.study.options import Study, study_from_mapping

COMMAND: Final = (sys.executable, "-P", "-m", "bakeoff.study.measuring")


def job_of(
    study: Study,
    device: str,
    schedule: StudySchedule,
    *,
    adapters: Mapping[str, Path],
    seconds: float,
) -> dict[str, Any]:
    """What the process needs, as plain values: the study with the settings that were chosen.

    Args:
        study: what is run. device: where. schedule: what was chosen.
        adapters: of each method a trained one, its folder. seconds: that all may take from now on.
    """
    return {
        "study": _as_chosen(study, schedule).resolved,
        "device": device,
        "adapters": {name: str(place.resolve()) for name, place in adapters.items()},
        "deadline": time.time() + seconds,
    }


def _as_chosen(study: Study, schedule: StudySchedule) -> Study:
    """The study without its search: every method with the options that were chosen."""
    if study.options.search is None:
        return study
    entries = []
    for entry in study.entries:
        search = schedule.methods[entry.name]
        shown = search.chosen or search.best() or search.searched[0]
        variant = next(v for v in entry.variants if v.label == shown.variant)
        entries.append(
            replace(
                entry,
                rates=None,
                learning_rate=shown.learning_rate,
                variants=(replace(variant, label="", searched={}),),
            )
        )
    options = replace(study.options, search=None)
    return replace(study, options=options, entries=tuple(entries))


def opener_of(job: Mapping[str, Any]) -> Opener:
    """How this process opens the study of a job; one that names no adapters has no plain loop."""
    study = study_from_mapping(job["study"], folder=Path.cwd())
    small = replace(study.options, base=TINY_REFERENCE, revision=None)
    return Opener(
        bench=partial(open_workbench, study, job["device"]),
        small=partial(load_base, replace(study, options=small), job["device"]),
        plain=partial(load_plain, study) if job.get("adapters") else None,
        adapters={name: Path(place) for name, place in job.get("adapters", {}).items()},
    )


def main() -> None:
    """Measures the methods of the job that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    serve(job["names"], opener_of(job), job["deadline"])


if __name__ == "__main__":
    main()
