"""Writes the golden runs that the tests of reports and decisions read: ``tests/golden/``.

    python tools/golden_runs.py                # all of them
    python tools/golden_runs.py schema1        # those whose name begins so

Each is a real run of the base ``tiny`` on `wire`'s rows. Those of an older schema are run with
the code of the commit that wrote it, which is unpacked from the repository's history. Times,
memory and library versions are those of the machine that runs this; all else repeats in float32.

What no report and no decision reads is left out of a golden folder, for its size: adapters,
checkpoints, the search's database, figures and the report itself.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
GOLDEN = REPOSITORY / "tests" / "golden"
FIRST_EDITION = "599b1a8"
PATIENCE_SECONDS = 600
KEPT = ("study.yaml", "results.json", "examples.jsonl")
KEPT_BELOW = ("predictions.jsonl",)
SMALL = ("task.examples={train: 48, validation: 12, test: 24}", "precision=float32", "slots=1")
FIRST_SMALL = (
    "task.examples={train: 48, validation: 12, test: 10}",
    "precision=float32",
    "slots=1",
)
METHODS = (
    "methods={lora: {kind: lora, target_modules: all-linear}, soft_prompt: {kind: soft_prompt}, "
    "head: {kind: head}}"
)
FOUR_METHODS = (
    "methods={traditional: {kind: head, learning_rate: 2e-3}, "
    "lora: {kind: lora, target_modules: all-linear, learning_rate: 5e-3}, "
    "lora_small: {kind: lora, target_modules: all-linear, rank: 6, learning_rate: 5e-3}, "
    "full: {kind: full, learning_rate: 1e-3}}"
)
DIVERGING = (
    "methods={wild: {kind: lora, learning_rate: 1e30}, "
    "lora: {kind: lora, target_modules: all-linear}, "
    "soft_prompt: {kind: soft_prompt}, head: {kind: head}}"
)


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One golden run.

    Attributes:
        name: of its folder. settings: for ``--set``, over the demo's study.
        commit: whose code runs it; this checkout's without.
        stop_at: a file below the run's folder; the run is interrupted once it is there.
    """

    name: str
    settings: tuple[str, ...]
    commit: str | None = None
    stop_at: str | None = None


RUNS = (
    Golden(
        name="schema1",
        settings=(*FIRST_SMALL, METHODS, "name=first", "search.learning_rates=2", "search.seeds=2"),
        commit=FIRST_EDITION,
    ),
    Golden(
        name="schema1_partial",
        settings=(*FIRST_SMALL, METHODS, "name=cut-off"),
        commit=FIRST_EDITION,
        stop_at="candidates/soft_prompt-*/metrics.jsonl",
    ),
    Golden(
        name="four",
        settings=(
            "task.examples={train: 192, validation: 32, test: 16}",
            "precision=float32",
            "name=four-methods",
            "protocol.seeds=[0, 1, 2]",
            FOUR_METHODS,
        ),
    ),
    Golden(
        name="searched",
        settings=(*SMALL, METHODS, "name=searched", "search.learning_rates=2", "search.seeds=3"),
    ),
    Golden(
        name="partial",
        settings=(*SMALL, DIVERGING, "name=cut-off"),
        stop_at="candidates/lora-*/adapter",
    ),
)


def main() -> None:
    """Runs those that are asked for and replaces their golden folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", nargs="*", default=[""], help="of the names; all without")
    prefixes = tuple(parser.parse_args().prefix)
    wanted = [run for run in RUNS if run.name.startswith(prefixes)]
    if not wanted:
        parser.error(f"no golden run begins with {prefixes}; there are {[r.name for r in RUNS]}")
    for run in wanted:
        with tempfile.TemporaryDirectory() as scratch:
            source = REPOSITORY if run.commit is None else _unpacked(run.commit, Path(scratch))
            folder = Path(scratch) / "run"
            _execute(run, source, folder)
            _keep(folder, GOLDEN / run.name)
        size = sum(p.stat().st_size for p in (GOLDEN / run.name).rglob("*") if p.is_file())
        sys.stdout.write(f"{run.name}: {size / 1024:.0f} KiB\n")


def _unpacked(commit: str, scratch: Path) -> Path:
    """The source of an earlier commit."""
    packed = subprocess.run(
        ["git", "archive", commit, "src"], cwd=REPOSITORY, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(scratch / "source", filter="data")
    return scratch / "source"


def _execute(run: Golden, source: Path, folder: Path) -> None:
    command = [sys.executable, "-P", "-m", "bakeoff.cli", "run", "--out", str(folder)]
    for setting in run.settings:
        command += ["--set", setting]
    environment = os.environ | {"PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, cwd=folder.parent)
    ends_at = time.monotonic() + PATIENCE_SECONDS
    is_stopped = False
    while process.poll() is None:
        if time.monotonic() > ends_at:
            process.kill()
            raise SystemExit(f"{run.name}: not done after {PATIENCE_SECONDS} s")
        if run.stop_at is not None and not is_stopped and any(folder.glob(run.stop_at)):
            process.send_signal(signal.SIGINT)
            is_stopped = True
        time.sleep(0.02)
    wanted = 0 if run.stop_at is None else 130
    if process.returncode != wanted:
        raise SystemExit(f"{run.name}: exit code {process.returncode}, expected {wanted}")


def _keep(folder: Path, target: Path) -> None:
    """Replaces a golden folder by what readers need of a run."""
    shutil.rmtree(target, ignore_errors=True)
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and (str(place) in KEPT or path.name in KEPT_BELOW):
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / place)


if __name__ == "__main__":
    main()
