"""The process that measures what methods cost: ``python -m bakeoff.study.measuring JOB.json``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from bakeoff.base.weights.sources import TINY_REFERENCE
from bakeoff.config import to_mapping
from bakeoff.engine.candidate import Candidate
from bakeoff.errors import ConfigError
from bakeoff.measure.costs import Opener, serve
from bakeoff.methods import registry as methods
from bakeoff.metrics import registry as metrics
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.loading import study_from_mapping
from bakeoff.study.opening import choices_of, load_bases, load_plain, open_workbench
from bakeoff.study.study import Study
from bakeoff.tasks import registry as tasks

COMMAND: Final = (sys.executable, "-P", "-m", "bakeoff.study.measuring")


def jobs_of(
    study: Study,
    device: str,
    schedule: StudySchedule,
    names: Sequence[str],
    *,
    adapters: Mapping[str, Path],
    seconds: float,
) -> list[tuple[dict[str, Any], list[str]]]:
    """What the process needs, as plain values: the study with the settings that were chosen.

    Args:
        study: what is run. device: where. schedule: what was chosen. names: of the methods.
        adapters: of each method a trained one, its folder. seconds: that all may take from now on.

    Returns:
        A job for each protocol that was chosen, and the methods whose it is.
    """
    chosen = _as_chosen(study, schedule)
    jobs: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for name in names:
        protocol = study.options.protocol.under(shown_candidate(schedule, name).options)
        options = replace(chosen.options, protocol=protocol)
        job = {
            # Further test sets and what was made elsewhere are no part of what a method costs.
            "study": replace(chosen, options=options, also={}, externals=()).resolved,
            "device": device,
            "registered": registered_by(study),
            "adapters": {name: str(place.resolve()) for name, place in adapters.items()},
            "deadline": time.time() + seconds,
        }
        jobs.setdefault(json.dumps(to_mapping(protocol)), (job, []))[1].append(name)
    return list(jobs.values())


def shown_candidate(schedule: StudySchedule, name: str) -> Candidate:
    """The candidate whose setting stands for the method, as far as its search has come."""
    search = schedule.methods[name]
    return search.chosen or search.best() or search.candidates[0]


def registered_by(study: Study) -> dict[str, str]:
    """What of the study was registered in this process, and the module that each is defined in."""
    used = {
        f"method {entry.kind!r}": methods.registered_in().get(entry.kind) for entry in study.entries
    }
    used[f"task {study.task.kind!r}"] = tasks.registered_in().get(study.task.kind)
    registered = metrics.registered_in()
    used |= {f"metric {m.name!r}": registered.get(m.name) for m in study.task.metrics_before_rows}
    return {what: module for what, module in used.items() if module is not None}


def registered_names() -> list[str]:
    """What was registered in this process, be it used or not; entry points are no part of it."""
    found = {"method": methods, "task": tasks, "metric": metrics}
    return [f"{what} {name!r}" for what, at in found.items() for name in at.registered_in()]


def registered_here(registered: Mapping[str, str]) -> list[str]:
    """What of ``registered_by`` a script or a notebook has registered itself."""
    return [what for what, module in registered.items() if module == "__main__"]


def register_again(job: Mapping[str, Any]) -> None:
    """Imports the modules that register what the study uses, in another process.

    Raises:
        ConfigError: something was registered by a script or a notebook itself.
    """
    registered: Mapping[str, str] = job.get("registered", {})
    for what in registered_here(registered):
        raise ConfigError(
            f"the {what} was registered by a script or a notebook itself, which the process "
            "that measures costs cannot import; move it into a module that registers it, and "
            "import that"
        )
    for module in registered.values():
        import_module(module)


def _as_chosen(study: Study, schedule: StudySchedule) -> Study:
    """The study without its search: every method with the options that were chosen."""
    if study.options.search is None:
        return study
    entries = []
    for entry in study.entries:
        shown = shown_candidate(schedule, entry.name)
        variant = next(v for v in entry.variants if v.label == shown.variant)
        entries.append(
            replace(
                entry,
                rates=None,
                learning_rate=shown.learning_rate,
                given=to_mapping(variant.options),
                listed={},
                variants=(replace(variant, label="", searched={}),),
            )
        )
    options = replace(study.options, search=None)
    return replace(study, options=options, entries=tuple(entries))


def opener_of(job: Mapping[str, Any]) -> Opener:
    """How this process opens the study of a job; one that names no adapters has no plain loop.

    For a GPU the study is read where it is opened first, in each fork: what reading imports, such
    as PEFT and with it bitsandbytes, opens the card, and no fork after that could.
    """

    @cache
    def study() -> Study:
        return study_from_mapping(job["study"], folder=Path.cwd())

    def small() -> object:
        options = replace(study().options, base=TINY_REFERENCE, revision=None)
        # In all precisions: the library that unpacks is no cost of one method either.
        return load_bases(
            replace(study(), options=options), job["device"], wanted=choices_of(study())
        )

    if not job["device"].startswith("cuda"):
        study()  # once for all forks
    return Opener(
        bench=lambda: open_workbench(study(), job["device"]),
        alone=lambda name: open_workbench(study(), job["device"], alone=name),
        small=small,
        plain=(lambda: load_plain(study())) if job.get("adapters") else None,
        adapters={name: Path(place) for name, place in job.get("adapters", {}).items()},
    )


def main() -> None:
    """Measures the methods of the job that the command line names."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    register_again(job)
    serve(job["names"], opener_of(job), job["deadline"])


if __name__ == "__main__":
    main()
