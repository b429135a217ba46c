"""The campaign in full, in pieces: ``python -m tests.faults.soak [--part NAME] [--count N]``.

What each case came to is kept in ``PLACE/NAME.jsonl``, so that a later call goes on with the next
one; ``--table`` prints what all calls have come to, against the counts that are asked for. Without
``--count`` a part is run to that number.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.faults.driver import ROOT, cases
from tests.faults.sizes import KILLS_OF_CASE, ROWS_OF_CASE, SIGNALS_OF_CASE

ASKED: Final = {
    "kills": (1000, KILLS_OF_CASE, "kills"),
    "signals": (600, SIGNALS_OF_CASE, "signals: SIGTERM, SIGINT, SIGHUP"),
    "writes": (800, 1, "write faults: full disk, EIO, short writes, lost syncs"),
    "damaged": (500, 1, "damaged files of finished and of partial folders"),
    "memory": (50, 1, "memory limits"),
    "clock": (50, 1, "clocks set back and forth"),
    "studies": (10_000, 1, "generated studies"),
    "rows": (100_000, ROWS_OF_CASE, "generated rows"),
}
"""By part: how many are asked for, how many a case does at most, and what they are."""


def kept(place: Path, part: str) -> list[dict[str, Any]]:
    """What earlier calls have come to."""
    file = place / f"{part}.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def done(found: list[dict[str, Any]]) -> int:
    """How often it was done in some cases."""
    return sum(one["times"] for one in found)


def table(place: Path) -> str:
    """Asked, run and faults of each part, in Markdown."""
    lines = ["| what | asked | run | faults |", "| --- | ---: | ---: | ---: |"]
    for part, (asked, _, what) in ASKED.items():
        found = kept(place, part)
        faults = sum(one["fault"] is not None for one in found)
        lines.append(f"| {what} | {asked:,} | {done(found):,} | {faults} |")
    return "\n".join(lines)


def main() -> int:
    """Returns 1 where a case has gone wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", action="append", choices=list(ASKED), help="only these")
    parser.add_argument("--count", type=int, help="cases of each part, at most")
    parser.add_argument("--seconds", type=float, help="begins no case after so many")
    parser.add_argument("--place", type=Path, default=ROOT / "build" / "soak", help="a folder")
    parser.add_argument("--table", action="store_true", help="only prints what was found")
    given = parser.parse_args()
    place: Path = given.place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    wanted = {}
    for part in () if given.table else given.part or ASKED:
        asked, each, _ = ASKED[part]
        before = kept(place, part)
        first = len(before)
        count = -(-(asked - done(before)) // each)
        count = count if given.count is None else min(count, given.count)
        if count > 0:
            wanted[part] = range(first, first + count)
    started = time.monotonic()
    for outcome in cases(place / "runs", wanted) if wanted else ():
        with (place / f"{outcome['part']}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(outcome) + "\n")
        if outcome["fault"] is not None:
            print(json.dumps(outcome), flush=True)
        if given.seconds is not None and time.monotonic() - started > given.seconds:
            break
    print(table(place))
    return int(any(one["fault"] for part in ASKED for one in kept(place, part)))


if __name__ == "__main__":
    sys.exit(main())
