"""One campaign on a GPU: everything that only a card can answer, stage by stage.

    python benchmarks/gpu/campaign.py --out FOLDER          (or OUT=FOLDER in the environment)
    python benchmarks/gpu/campaign.py --out FOLDER2 --have FOLDER/records.jsonl
    python benchmarks/gpu/campaign.py --out FOLDER --dry-run

Writes ``records.jsonl``, ``summary.txt`` and each stage's ``logs/STAGE.log`` into the folder, and
stops by itself after ``--limit`` seconds; ``--have`` goes on where an earlier campaign stopped.
``--dry-run`` goes through the stages without a card, on tensors that have shapes and no values.
``docs/gpu.md`` says what each stage answers.

Exit codes: 0 all stages passed or had nothing to do, 1 some failed, 2 wrong arguments, 3 none
failed and some have not run.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from multiprocessing.context import BaseContext
from pathlib import Path

# The folder of the benchmarks, whose modules the stages use; this one is the package `gpu` in it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gpu.processes import Place, Stage, run_in_process, starting_context
from gpu.records import FINAL, Records, RecordsError, State, held_records
from gpu.summary import exit_code, stage_line, summary
from gpu.table import ROOT, all_stages

LIMIT_SECONDS = 540.0
DRY_RUN_STAGES = 2
"""Stages of a dry run that go at a time."""
_LEAST_SECONDS = 10.0
"""A stage is not begun with less: it would load a base and be ended."""
_ENVIRONMENT = {
    # Asking whether there is a card must not open it: no fork survives that.
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "OMP_WAIT_POLICY": "passive",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}
"""Of all stages."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the stages that are asked for and not held; returns the exit code."""
    started = time.monotonic()
    arguments = _arguments(argv)
    stages = [s for s in all_stages() if _is_chosen(s.name, arguments.only)]
    if arguments.list:
        for stage in stages:
            print(f"{stage.name:<40} {stage.limit:4g} s  {stage.question}")
        return 0
    if not stages:
        return _refuse(f"--only {' '.join(arguments.only)}: no stage has such a name; see --list")
    if arguments.out is None:
        return _refuse("no folder to write into: give --out FOLDER, or set OUT in the environment")
    os.environ.update(_ENVIRONMENT)
    # Ending the campaign ends its stage with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    place = Place(out=Path(arguments.out).resolve(), dry_run=arguments.dry_run)
    if arguments.dry_run:
        from gpu.dry import fake_card, with_guard

        with_guard()  # starts this script again, once, with the guard loaded
        place = Place(out=place.out, dry_run=True, around=fake_card)
    place.out.mkdir(parents=True, exist_ok=True)
    records = Records(place.out / "records.jsonl", dry_run=arguments.dry_run)
    try:
        _begin(records, arguments)
    except RecordsError as error:
        return _refuse(str(error))
    return run(stages, place, records, deadline=started + arguments.limit)


def run(stages: Sequence[Stage], place: Place, records: Records, deadline: float) -> int:
    """Runs every stage that the records do not hold; a summary is always on disk.

    Args:
        stages: in order. place: where. records: with the lines that are held already.
        deadline: of ``time.monotonic``; what does not fit is recorded as not started.

    Returns:
        The exit code.
    """
    names = [stage.name for stage in stages]
    held = {r["stage"] for r in records.read() if r["kind"] == "stage" and r["state"] in FINAL}
    context = starting_context()
    waiting = threading.Lock()

    def one(stage: Stage) -> None:
        if stage.name not in held:
            _run_one(context, stage, place, records, deadline)
        found = [r for r in records.read() if r.get("stage") == stage.name]
        line = stage_line(found[-1], [r for r in found if r["kind"] == "part"])
        with waiting:
            print(line if stage.name not in held else f"(held) {line}", flush=True)
            # Again after each stage: a campaign that is ended from outside leaves a summary.
            (place.out / "summary.txt").write_text(summary(records.read(), names), "utf-8")

    if place.dry_run:  # a card is for one stage alone; without one they share the host
        with ThreadPoolExecutor(DRY_RUN_STAGES) as pool, warnings.catch_warnings():
            # The threads that it warns of only wait for their stages.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            list(pool.map(one, stages))
    else:
        for stage in stages:
            one(stage)
    text = summary(records.read(), names)
    (place.out / "summary.txt").write_text(text, encoding="utf-8")
    print(f"\n{text}", end="", flush=True)
    return exit_code(records.read(), names)


def _run_one(
    context: BaseContext, stage: Stage, place: Place, records: Records, deadline: float
) -> None:
    """Runs a stage, or records that there is no time left for it."""
    left = deadline - time.monotonic()
    if left >= _LEAST_SECONDS:
        run_in_process(context, stage, place, records, left)
        return
    records.append(
        "stage",
        stage=stage.name,
        state=State.NOT_STARTED,
        seconds=0.0,
        reason="the campaign's time ran out before it",
    )


def _begin(records: Records, arguments: argparse.Namespace) -> None:
    """The records' first lines: how the campaign was started, and what is held already.

    Raises:
        RecordsError: the file to be held cannot be used, or there is another one in the way.
    """
    held = []
    if arguments.have is not None:
        held = held_records(arguments.have, dry_run=arguments.dry_run, retry=arguments.retry)
    is_same = arguments.have is not None and arguments.have.resolve() == records.path
    if records.path.exists() and not is_same:
        raise RecordsError(
            f"{records.path} exists already; give another --out, or go on from it with "
            f"--have {records.path}"
        )
    records.path.write_text("", encoding="utf-8")
    records.append(
        "campaign",
        argv=sys.argv[1:],
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit=_commit(),
        limit=arguments.limit,
        held=[record["stage"] for record in held if record["kind"] == "stage"],
    )
    for record in held:
        records.append(**record)


def _commit() -> str | None:
    """The commit that runs, where that can be known."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch(name, pattern) for pattern in patterns)


def _refuse(reason: str) -> int:
    print(f"Error: {reason}", file=sys.stderr)
    return 2


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default=os.environ.get("OUT") or None, help="folder; else $OUT")
    parser.add_argument("--have", type=Path, help="records.jsonl of an earlier campaign")
    parser.add_argument(
        "--retry", action="store_true", help="of --have, run again what failed or was too slow"
    )
    parser.add_argument("--limit", type=float, default=LIMIT_SECONDS, help="seconds in all")
    parser.add_argument("--only", nargs="+", default=[], help="stages, as updates/* or resume")
    parser.add_argument("--list", action="store_true", help="print the stages and end")
    parser.add_argument("--dry-run", action="store_true", help="without a card, without values")
    arguments = parser.parse_args(argv)
    if arguments.retry and arguments.have is None:
        parser.error("--retry says what of --have is run again; give --have FILE as well")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
