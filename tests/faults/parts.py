"""The parts of the campaign: ``python -m tests.faults.parts PLACE PART:FIRST:PAST:STRIDE …``.

Case number n of a part is the same in every run of it: what happens is drawn from n alone. Each
prints a JSON line: its number, what was done, and ``fault``, null where all went as it must. A run
to which nothing happens comes first and says what the numbers are.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from bakeoff.engine import train
from bakeoff.runs.lock import HOLDER_FILE
from tests.faults.generated import rows_fault, study_fault
from tests.faults.harness import (
    WRONG,
    Ended,
    copied,
    fault_of,
    known_costs,
    numbers,
    run,
    set_up,
    warm_up,
    warmed,
)
from tests.faults.sizes import KILLS_OF_CASE, ROWS_OF_CASE
from tests.faults.studies import STUDIES

FULL, BROKEN, SHORT, LOST = range(1, 5)
_MODES: Final = {FULL: "disk full", BROKEN: "EIO", SHORT: "short write", LOST: "lost sync"}
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_HARMS: Final = ("truncated", "emptied", "flipped", "replaced")
_WRITES: Final = 200
Case = Callable[["Campaign", int], tuple[str, str | None] | tuple[str, str | None, int]]
"""What was done, what is wrong, and how often it was done where that is not once."""


class Undisturbed:
    """A run of a study to which nothing happened, made once in a folder.

    Attributes:
        folder: the run's. whole: its numbers. events: writes that it made. seconds: that one takes.
    """

    def __init__(self, place: Path, study: str, library: Any) -> None:
        self.folder, self.study = place / f"undisturbed-{study}", study
        counted = place / f"counted-{study}"
        if not counted.exists():
            ended = run(self.folder, lambda: _count(library, self.folder, counted), study=study)
            if ended.code != 0:
                raise SystemExit(f"the undisturbed run of {study} failed: {ended.out}")
        found = json.loads(counted.read_text(encoding="utf-8"))
        self.events = int(found["events"])
        known_costs(self.folder / "costs.json")
        warm_up(found["modules"], found["records"])
        self.whole = numbers(self.folder)
        again, started = place / "again", time.monotonic()
        shutil.rmtree(again, ignore_errors=True)
        if fault := fault_of(run(again, study=study), again, self.whole):
            raise SystemExit(f"two undisturbed runs of {study} differ: {fault}")
        self.seconds = time.monotonic() - started


class Campaign:
    """Runs cases in a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place
        set_up(place)
        self.library = ctypes.CDLL(None)
        self.folder = place / "case"
        self._undisturbed: dict[str, Undisturbed] = {}

    def of(self, study: str = "plain") -> Undisturbed:
        """The undisturbed run of a study."""
        if study not in self._undisturbed:
            self._undisturbed[study] = Undisturbed(self.place, study, self.library)
        return self._undisturbed[study]

    def begin(self) -> Path:
        """An absent folder for a case."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return self.folder

    def partial(self) -> Path:
        """A run that was stopped in the middle by SIGTERM, made once."""
        folder = self.place / "partial"
        if not folder.exists():
            run(folder, lambda: _at_step(6, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        return folder

    def resumed(
        self, what: str, *before: Ended, study: str = "plain", rounds: bool = False
    ) -> tuple[str, str | None]:
        """Goes on with the case's folder as nothing had happened; all numbers must be there."""
        for ended in before:
            if any(words in ended.out for words in WRONG):
                return what, f"printed a traceback: {ended.out[-1500:]}"
        whole = self.of(study).whole
        return what, fault_of(run(self.folder, study=study), self.folder, whole, rounds=rounds)


def _count(library: Any, folder: Path, into: Path) -> None:
    """Notes the events of this process below a folder, and what it imported, when it exits."""
    library.faults_arm(str(folder).encode(), ctypes.c_long(0), 0)
    leave = os._exit

    def counted(code: int) -> None:
        found = {"events": library.faults_counted(), **warmed()}
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
    events = min(_WRITES, campaign.of().events)
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


def kills(campaign: Campaign, number: int) -> tuple[str, str | None, int]:
    """SIGKILL at random moments, several times until a run has come to its end.

    At an update, or after a time. The next run goes on where the one before it died.
    """
    draw = random.Random(number)
    study = list(STUDIES)[number % len(STUDIES)]
    seconds, folder = campaign.of(study).seconds, campaign.begin()
    ended, killed = [], 0
    moments: list[str] = []
    for _ in range(KILLS_OF_CASE):
        if draw.random() < 0.5:
            step = draw.randrange(1, 7)
            moments.append(f"update {step}")
            end = _dies_at_step(step, signal.SIGKILL)
        else:
            at = draw.uniform(0.02, 0.8) * seconds
            moments.append(f"{at:.3f} s")
            end = _dies_after(at, signal.SIGKILL)
        ended.append(run(folder, end, study=study))
        killed += ended[-1].code == -signal.SIGKILL
        if ended[-1].code == 0:
            break
    codes = [one.code for one in ended]
    what = f"{study} killed at {', '.join(moments)}, exit codes {codes}"
    if not set(codes) <= {0, -signal.SIGKILL}:
        return what, f"ended otherwise: {ended[-1].words[-600:]}", killed
    return *campaign.resumed(what, *ended, study=study), killed


def signals(campaign: Campaign, number: int) -> tuple[str, str | None, int]:
    """SIGTERM, SIGINT and SIGHUP in training: a partial report, no lock left, the rest later."""
    draw = random.Random(number)
    study = list(STUDIES)[number % len(STUDIES)]
    campaign.of(study)  # what its methods cost is known before a run comes to it
    folder, ended, sent = campaign.begin(), [], list(_SIGNALS)
    draw.shuffle(sent)
    what = study
    for one in sent:
        step = draw.randrange(1, 4)
        ended.append(run(folder, _dies_at_step(step, one), study=study))
        code = ended[-1].code
        what = f"{what}, {one.name} at update {step}: exit code {code}"
        if code not in (0, 128 + one):
            return what, f"ended with {code}: {ended[-1].words[-600:]}", len(ended)
        if code == 0:
            break
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        if results["status"] != "partial" or (folder / HOLDER_FILE).exists():
            return what, "is not partial, or left a lock", len(ended)
    stopped = sum(one.code != 0 for one in ended)
    return *campaign.resumed(what, *ended, study=study), stopped


def _dies_at_step(number: int, sent: signal.Signals) -> Callable[[], None]:
    return lambda: _at_step(number, lambda: os.kill(os.getpid(), sent))


def _dies_after(seconds: float, sent: signal.Signals) -> Callable[[], None]:
    return lambda: _after(seconds, sent)


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
    source = campaign.of().folder if number % 2 else campaign.partial()
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
        # What more epochs would go on from is removed where it is torn, and the run says so.
        named = file.name if file.name.startswith("last-") else ""
        if named and not file.exists() and named not in ended.words:
            return what, f"was removed without a word: {ended.words[-600:]}"
        fault = fault_of(ended, folder, campaign.of().whole, without=named)
        return f"{what}: the same numbers", fault
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
    # Passes that are halved add the same numbers up in another order.
    return campaign.resumed(what, first, rounds=True)


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
    return "clock", fault_of(run(folder, unsteady), folder, campaign.of().whole)


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
        times = GENERATED.get(part, 1)
        if campaign is not None and part in CASES:
            what, fault, *done = CASES[part](campaign, number)
            times = done[0] if done else times
        else:
            what = f"drawn with {number}"
            fault = study_fault(number, drawn) if part == "studies" else rows_fault(number, drawn)
        yield {"part": part, "number": number, "times": times, "what": what, "fault": fault}


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
