"""The parts of the campaign: ``python -m tests.faults.parts PLACE PART:FIRST:PAST:STRIDE …``.

Case number n of a part is the same in every run of it: what happens is drawn from n alone. Each
prints a JSON line: its number, what was done, and ``fault``, null where all went as it must. A run
to which nothing happens comes first and says what the numbers are.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bakeoff.engine import train
from tests.faults.generated import ROWS_OF_CASE, rows_fault, study_fault
from tests.faults.harness import WRONG, Ended, copied, fault_of, numbers, run, set_up

FULL, BROKEN, SHORT, LOST = range(1, 5)
_MODES: Final = {FULL: "disk full", BROKEN: "EIO", SHORT: "short write", LOST: "lost sync"}
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HARMS: Final = ("truncated", "emptied", "flipped", "replaced")
_WRITES: Final = 200
_STEPS: Final = 40
Case = Callable[["Campaign", int], tuple[str, str | None]]


class Campaign:
    """Runs cases in a folder.

    Attributes:
        whole: the numbers of a run to which nothing happened. events: writes that it made.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        set_up(place)
        self.library = ctypes.CDLL(None)
        self.folder = place / "case"
        undisturbed, counted = place / "undisturbed", place / "counted"
        if not counted.exists():
            ended = run(undisturbed, lambda: _count(self.library, undisturbed, counted))
            if ended.code != 0:
                raise SystemExit(f"the undisturbed run failed: {ended.out}")
        found = json.loads(counted.read_text(encoding="utf-8"))
        self.events = int(found["events"])
        # What a run imports on its way is imported once for all runs.
        for name in found["modules"]:
            if not name.startswith(("__", "tests")):
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        self.whole = numbers(undisturbed)
        self.undisturbed = undisturbed

    def begin(self) -> Path:
        """An absent folder for a case."""
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)
        return self.folder

    def partial(self) -> Path:
        """A run that was stopped in the middle by SIGTERM, made once."""
        folder = self.place / "partial"
        if not folder.exists():
            run(folder, lambda: _at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        return folder

    def resumed(self, what: str, first: Ended) -> tuple[str, str | None]:
        """Goes on with the case's folder as nothing had happened; all numbers must be there."""
        if any(words in first.out for words in WRONG):
            return what, f"printed a traceback: {first.out[-1500:]}"
        return what, fault_of(run(self.folder), self.folder, self.whole)


def _count(library: Any, folder: Path, into: Path) -> None:
    """Notes the events of this process below a folder, and what it imported, when it exits."""
    library.faults_arm(str(folder).encode(), ctypes.c_long(0), 0)
    leave = os._exit

    def counted(code: int) -> None:
        found = {"events": library.faults_counted(), "modules": list(sys.modules)}
        into.write_text(json.dumps(found), encoding="utf-8")
        leave(code)

    setattr(os, "_exit", counted)  # noqa: B010


def _at_step(number: int, do: Callable[[], None], *, slow: float = 0.0) -> None:
    """Does something just before an update of training, counted over the whole run."""
    step, counted = train.train_step, 0

    def watched(*arguments: Any, **options: Any) -> Any:
        nonlocal counted
        counted += 1
        if counted == number:
            do()
        if slow:
            time.sleep(slow)
        return step(*arguments, **options)

    setattr(train, "train_step", watched)  # noqa: B010


def writes(campaign: Campaign, number: int) -> tuple[str, str | None]:
    """A write, sync, rename or new folder fails; the first ones of a run, in four ways."""
    events = min(_WRITES, campaign.events)
    mode = list(_MODES)[number % len(_MODES)]
    # Spread over all events by a stride without a common factor.
    event = number // len(_MODES) * 37 % events + 1
    what = f"{_MODES[mode]} at event {event}"
    folder = campaign.begin()
    arm = campaign.library.faults_arm
    first = run(folder, lambda: arm(str(folder).encode(), ctypes.c_long(event), mode))
    if mode == SHORT and first.code != 0:
        return what, f"ended with {first.code}: {first.words[-600:]}"
    if mode in (FULL, BROKEN) and first.code != 0 and str(folder) not in first.words:
        return what, f"the error does not name the place: {first.words[-600:]}"
    what = f"{what}, exit code {first.code}"
    return campaign.resumed(what, first)


def kills(campaign: Campaign, number: int) -> tuple[str, str | None]:
    """SIGKILL before a write or an update."""
    draw = random.Random(number)
    folder = campaign.begin()
    if draw.random() < 0.5:
        step = draw.randrange(1, 9)
        what = f"killed at update {step}"
        first = run(folder, lambda: _at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    else:
        at = draw.uniform(0.0, 2.0)
        what = f"killed after {at:.3f} s"
        first = run(folder, lambda: _after(at, signal.SIGKILL))
    return campaign.resumed(f"{what}, exit code {first.code}", first)


def signals(campaign: Campaign, number: int) -> tuple[str, str | None]:
    """SIGTERM, SIGINT or SIGHUP in training: a partial report, no lock left, and the rest later."""
    draw = random.Random(number)
    sent, step = _SIGNALS[number % len(_SIGNALS)], draw.randrange(1, 9)
    what = f"{sent.name} at update {step}"
    folder = campaign.begin()
    first = run(folder, lambda: _at_step(step, lambda: os.kill(os.getpid(), sent)))
    if first.code not in (0, 130, 143, 129):
        return what, f"ended with {first.code}: {first.words[-600:]}"
    status = json.loads((folder / "results.json").read_text(encoding="utf-8"))["status"]
    what = f"{what}, exit code {first.code}, {status}"
    return campaign.resumed(what, first)


def _after(seconds: float, sent: signal.Signals) -> None:
    """A signal to this process after so many seconds, from one that outlives it."""
    target = os.getpid()
    if os.fork() == 0:
        time.sleep(seconds)
        if os.getppid() == target:
            os.kill(target, sent)
        os._exit(0)


def damaged(campaign: Campaign, number: int) -> tuple[str, str | None]:
    """A file of a folder is harmed: the same numbers when it is resumed, or refused by name."""
    draw = random.Random(number)
    source = campaign.undisturbed if number % 2 else campaign.partial()
    folder = copied(source, campaign.begin())
    files = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != ".lock")
    file, harm = files[number // 8 % len(files)], _HARMS[number // 2 % len(_HARMS)]
    content = file.read_bytes()
    if harm == "truncated":
        file.write_bytes(content[: draw.randrange(0, len(content)) if content else 0])
    elif harm == "emptied":
        file.write_bytes(b"")
    elif harm == "flipped" and content:
        place = draw.randrange(len(content))
        changed = bytes([content[place] ^ 1 << draw.randrange(8)])
        file.write_bytes(content[:place] + changed + content[place + 1 :])
    else:
        file.write_text(draw.choice(["[]", "{}", "null", '{"schema": 2}', '"x"', "[1]", "{"]))
    name = str(file.relative_to(folder))
    which = "finished" if number % 2 else "partial"
    what = f"{name} of a {which} run {harm}"
    ended = run(folder)
    if any(words in ended.out for words in WRONG):
        return what, f"printed a traceback: {ended.out[-1500:]}"
    if ended.code == 0:
        return f"{what}: the same numbers", fault_of(ended, folder, campaign.whole)
    if ended.code == 2 and file.name in ended.words:
        return f"{what}: refused by name", None
    return what, f"ended with {ended.code} and not its name: {ended.words[-600:]}"


def memory(campaign: Campaign, number: int) -> tuple[str, str | None]:
    """The address space ends so many megabytes above what the process has; the base needs few."""
    more = number % 50 << 19
    what = f"{more / (1 << 20):g} MB more"
    folder = campaign.begin()

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    first = run(folder, limit)
    what = f"{what}, exit code {first.code}"
    if first.code not in (0, 1, 2, 4):
        return what, f"ended with {first.code}: {first.words[-600:]}"
    return campaign.resumed(what, first)


def clock(campaign: Campaign, number: int) -> tuple[str, str | None]:
    """The clock is set by up to a year, back and forth, at every look; stopped and gone on."""
    draw = random.Random(number)
    now, year = time.time, 3.2e7

    def unsteady() -> None:
        setattr(time, "time", lambda: max(0.0, now() + draw.uniform(-year, year)))  # noqa: B010

    def stopping() -> None:
        unsteady()
        _at_step(draw.randrange(1, 9), lambda: os.kill(os.getpid(), signal.SIGTERM))

    folder = campaign.begin()
    first = run(folder, stopping)
    if any(words in first.out for words in WRONG):
        return "clock", f"printed a traceback: {first.out[-1500:]}"
    return "clock", fault_of(run(folder, unsteady), folder, campaign.whole)


CASES: Final[dict[str, Case]] = {
    "kills": kills,
    "signals": signals,
    "writes": writes,
    "damaged": damaged,
    "memory": memory,
    "clock": clock,
}


GENERATED: Final = {"studies": 1, "rows": ROWS_OF_CASE}
"""Parts that run nothing, with what each case counts for."""


def outcomes(place: Path, wanted: list[tuple[str, range]]) -> Iterator[dict[str, Any]]:
    """One case after the other."""
    runs = any(part in CASES for part, _ in wanted)
    campaign = Campaign(place) if runs else None
    drawn = place / "drawn"
    drawn.mkdir(exist_ok=True)
    for part, number in ((part, number) for part, cases in wanted for number in cases):
        if campaign is not None and part in CASES:
            what, fault = CASES[part](campaign, number)
        else:
            what = f"drawn with {number}"
            fault = study_fault(number, drawn) if part == "studies" else rows_fault(number, drawn)
        yield {"part": part, "number": number, "what": what, "fault": fault}


def main() -> None:
    """Runs what the arguments name; see the module."""
    wanted = []
    for one in sys.argv[2:]:
        part, *given = one.split(":")
        wanted.append((part, range(*map(int, given))))
    for outcome in outcomes(Path(sys.argv[1]), wanted):
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
