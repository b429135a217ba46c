"""What is said of a study on the terminal before anything is trained."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from bakeoff.engine.workbench import Workbench
from bakeoff.formatting import shown_seconds
from bakeoff.measure.fit import needs_of
from bakeoff.measure.time_estimate import least_training_seconds
from bakeoff.measure.traced import Predictor
from bakeoff.runs.folder import RunFolder
from bakeoff.search.schedule import StudySchedule
from bakeoff.study.curve import sizes_left_out
from bakeoff.study.judged_notes import judge_plan
from bakeoff.study.lengths import lengths_of, print_lengths
from bakeoff.study.notes import unused_settings
from bakeoff.study.protocol_notes import protocol_notes
from bakeoff.study.study import Study


def introduce(study: Study, bench: Workbench, console: Console, *, judges: bool) -> None:
    """Prints base, device and rows, and whatever a user may want to know of them beforehand.

    Args:
        bench: the study as loaded. judges: whether a judge that the study has is asked.
    """
    options, base = study.options, bench.base
    sizes = ", ".join(
        f"{len(bench.data.splits[split])} {split}" for split in ("train", "validation", "test")
    ) + "".join(f", {len(found.data)} {name}" for name, found in bench.also.items())
    console.print(
        f"[bold]{options.name}[/]: {escape(base.source.description)}; {base.device.type}, "
        f"{str(base.compute_dtype).removeprefix('torch.')}; {sizes}",
        highlight=False,
        soft_wrap=True,
    )
    if (lengths := lengths_of(bench.data, bench.task.max_length)) is not None:
        print_lengths(lengths, console)
    for caution in bench.data.cautions:
        console.print(
            f"  [bold yellow]warning[/] {escape(caution)}", highlight=False, soft_wrap=True
        )
    also = [warning for found in bench.also.values() for warning in found.warnings]
    said = [*sizes_left_out(study, bench), *protocol_notes(bench)]
    seeds = len(bench.protocol.seed_list)
    elsewhere = sum(len(entrant.runs) for entrant in bench.entrants)
    said += judge_plan(
        options.judge if judges else None,
        rows=len(bench.data.splits["test"]),
        runs=seeds * len(bench.entries) + elsewhere + len(bench.baselines),
    )
    for warning in [*bench.data.warnings, *also, *said, *unused_settings(study)]:
        print_note(warning, console)


def print_note(note: str, console: Console) -> None:
    """A sentence that a user may want to act on, in a line of its own."""
    console.print(f"  [yellow]note[/] {escape(note)}", highlight=False, soft_wrap=True)


def say_aside(folder: RunFolder, console: Console) -> None:
    """Says where an earlier run was put: once it stays there, as the study is claimed."""
    if folder.aside is not None:
        print_note(f"the earlier run was put aside: {folder.aside}", console)


def warn_of_budget(
    bench: Workbench, schedule: StudySchedule, left: float, console: Console
) -> None:
    """Says so where even the bare arithmetic of all epochs outlasts the time budget.

    Args:
        left: seconds of the budget.
    """
    least = least_training_seconds(bench, schedule, needs_of(bench, Predictor(bench), schedule))
    if least > left:
        print_note(
            f"training takes at least {shown_seconds(least)} here, and the budget leaves "
            f"{shown_seconds(left)}; the run will save, report what is there, and can be taken up "
            "again",
            console,
        )
