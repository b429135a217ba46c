"""A campaign's records as a page of text."""

from __future__ import annotations

from collections.abc import Sequence

from gpu.records import BROKEN, FINAL, Record, State

_MOST_LINE = 160


def stage_line(end: Record, parts: Sequence[Record] = ()) -> str:
    """One line on a stage: how it ended, its seconds, what it did."""
    done = ", ".join(str(part["part"]) for part in parts)
    reason = str(end.get("reason") or "")
    text = "; ".join(words for words in (reason, done) if words)
    return _cut(f"{end['state']:<11} {end['stage']:<28} {end['seconds']:7.1f} s  {text}")


def summary(records: Sequence[Record], stages: Sequence[str]) -> str:
    """The whole campaign: a line for each stage and part, counts, the first lines of failures.

    Args:
        records: of a campaign, those held from earlier ones included.
        stages: all names in order; those without an end are counted as not run.
    """
    ends = {r["stage"]: r for r in records if r["kind"] == "stage"}
    lines: list[str] = []
    if any(record["dry_run"] for record in records):
        lines += ["DRY RUN: shapes without values on a fake card; no figure below is a card's", ""]
    for name in stages:
        parts = [r for r in records if r["kind"] == "part" and r["stage"] == name]
        end = ends.get(name)
        if end is None and not parts:
            continue
        lines.append(stage_line(end) if end else f"{'unfinished':<11} {name}")
        # A dry run's figures are nothing; only what broke is worth a line.
        shown = [p for p in parts if not p["dry_run"] or p["state"] in BROKEN]
        lines += [f"    {_part_line(part)}" for part in shown]
    missing = [n for n in stages if n not in ends or ends[n]["state"] not in FINAL]
    broken = [n for n in stages if n in ends and ends[n]["state"] in BROKEN]
    counts = {s: sum(end["state"] == s for end in ends.values()) for s in State}
    lines += ["", ", ".join(f"{n} {s.replace('_', ' ')}" for s, n in counts.items() if n)]
    if broken:
        lines.append(f"to fix (traceback in records.jsonl, all output in logs/): {_list(broken)}")
    if missing:
        lines.append(f"not run to the end (run again with --have records.jsonl): {_list(missing)}")
    return "\n".join(lines).strip() + "\n"


def exit_code(records: Sequence[Record], stages: Sequence[str]) -> int:
    """0: every stage passed or had nothing to do; 1: one is broken; 3: some have not run."""
    ends = {r["stage"]: r["state"] for r in records if r["kind"] == "stage"}
    if any(ends.get(name) in BROKEN for name in stages):
        return 1
    return 0 if all(ends.get(name) in FINAL for name in stages) else 3


def _part_line(part: Record) -> str:
    state = "" if part["state"] == State.PASSED else f"{str(part['state']).upper()} "
    says = part.get("reason") or part.get("says") or ""
    return _cut(f"{state}{part['part']}: {says}")


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _cut(line: str) -> str:
    line = line.rstrip()
    return line if len(line) <= _MOST_LINE else line[: _MOST_LINE - 1] + "…"
