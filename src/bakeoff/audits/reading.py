"""From files and folders to runs, whatever their format."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bakeoff.audits import csv_scores, lm_eval_results, peft_results
from bakeoff.audits.fields import Field, parse_json, read_text
from bakeoff.audits.published import LeftOut, Published, Run
from bakeoff.audits.shares import rows_of_shares
from bakeoff.errors import ConfigError, DataError

_SUFFIXES = {".json", ".jsonl", ".csv"}
_FORMATS = (
    "PEFT's method_comparison JSON, lm-eval's results_*.json with samples_*.jsonl, or a CSV file "
    "with the columns method, seed, row and one for each metric"
)


def read_published(paths: Sequence[Path], num_rows: int | None = None) -> Published:
    """Reads results that others published.

    Args:
        paths: files, and folders that are read whole. Where a folder holds other files of these
            kinds, they are left out by name; where one is named itself, it is an error.
        num_rows: of the test set, for shares whose file does not say over how many they are.

    Raises:
        DataError: a file that cannot be read or holds something else than it should.
        ConfigError: ``num_rows`` does not fit the published shares.
    """
    named, below = _files(paths)
    runs: list[Run] = []
    left_out: list[LeftOut] = []
    notes: list[str] = []
    harness: dict[Path, Field] = {}
    samples: list[Path] = []
    files = [*named, *below]
    groups = _labels([file.parent for file in files])
    for file in files:
        if lm_eval_results.is_samples(file):
            samples.append(file)
            continue
        text = read_text(file)
        if csv_scores.is_scores(file, text):
            runs += csv_scores.read_csv(file, text, file.stem)
            continue
        content = parse_json(text, file) if file.suffix.lower() == ".json" else None
        if peft_results.is_peft(content):
            field = Field(file=file, key="", value=content, remedy=peft_results.REMEDY)
            found, out = peft_results.read_peft(field, groups[file.parent])
            runs, left_out = runs + found, left_out + out
        elif lm_eval_results.is_lm_eval(content):
            harness[file] = Field(file=file, key="", value=content, remedy=lm_eval_results.REMEDY)
        elif file in below:
            left_out.append(LeftOut(place=str(file), reason="is not in a format that is read"))
        else:
            raise DataError(f"{file}: is in no format that is read; give {_FORMATS}")
    paired = lm_eval_results.pair_samples(harness, samples)
    for file, field in harness.items():
        found, said = lm_eval_results.read_lm_eval(field, paired[file])
        runs, notes = runs + found, notes + said
    runs, older = _newest(runs)
    if not runs:
        shown = ", ".join(str(path) for path in paths)
        why = f" ({left_out[0].place}: {left_out[0].reason})" if left_out else ""
        raise DataError(f"{shown}: holds no results{why}; give {_FORMATS}")
    runs, said = _with_rows(runs, num_rows)
    return Published(
        runs=tuple(runs),
        left_out=(*left_out, *older),
        files=len(files) - sum(one.reason.startswith("is not in") for one in left_out),
        notes=(*notes, *said),
    )


def _files(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Files that were named, and those that were found in folders, each once."""
    if not paths:
        raise ConfigError("audit: no file is named; give files or folders of published results")
    named: dict[Path, Path] = {}
    below: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            named.setdefault(path.resolve(), path)
            continue
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in sorted(files):
                file = Path(folder) / name
                if file.suffix.lower() in _SUFFIXES and not name.startswith("."):
                    below.setdefault(file.resolve(), file)
    return list(named.values()), [file for key, file in below.items() if key not in named]


def _labels(folders: Iterable[Path]) -> dict[Path, str]:
    """A name for each folder: as much of the end of its path as tells it apart."""
    resolved = {folder: folder.resolve() for folder in dict.fromkeys(folders)}
    labels: dict[Path, str] = {}
    for folder, whole in resolved.items():
        parts = whole.parts
        others = {other.parts for other in resolved.values() if other != whole}
        size = 1
        while size < len(parts) and any(o[-size:] == parts[-size:] for o in others):
            size += 1
        labels[folder] = "/".join(parts[-size:]) or str(whole)
    return labels


def _newest(runs: Sequence[Run]) -> tuple[list[Run], list[LeftOut]]:
    """Each run once: of evaluations of one model on one task the last.

    Raises:
        DataError: two files hold the same run.
    """
    kept: dict[tuple[str, str, str, str], Run] = {}
    older: list[LeftOut] = []
    for run in runs:
        key = (run.group, run.metric, run.method, run.seed)
        known = kept.get(key)
        if known is None:
            kept[key] = run
            continue
        if run.group != lm_eval_results.GROUP or run.made == known.made:
            raise DataError(
                f"{run.place}: holds {run.metric} of {run.method}, seed {run.seed}, which "
                f"{known.place} holds too; keep one of them, or put repeats into folders of "
                "their own"
            )
        last, first = (run, known) if run.made > known.made else (known, run)
        kept[key] = last
        reason = f"an older result of {run.metric} of {run.method}; {last.place} is taken"
        older.append(LeftOut(place=first.place, reason=reason))
    return list(kept.values()), older


def _with_rows(runs: Sequence[Run], num_rows: int | None) -> tuple[list[Run], list[str]]:
    """The runs with the number of rows, where it is given or follows from published shares."""
    unknown = [run for run in runs if run.is_share and run.num_rows is None]
    notes: list[str] = []
    found: dict[str, int | None] = {}
    if num_rows is not None and num_rows < 2:
        raise ConfigError(f"audit: rows is {num_rows}; give the number of test rows, at least 2")
    for metric, count in Counter(run.metric for run in unknown).items():
        values = {run.place: run.value for run in unknown if run.metric == metric}
        if num_rows is not None:
            _check_shares(values, num_rows)
            found[metric] = num_rows
            continue
        found[metric] = rows = rows_of_shares(values.values())
        if rows is None:
            notes.append(
                f"over how many rows {metric} was taken is not published and does not follow from "
                "the figures; give it with --rows"
            )
        else:
            notes.append(
                f"{metric} was taken over {rows:,} rows: the least number of which all {count} "
                "published figures are whole numbers of hits"
            )
    return [
        replace(run, num_rows=found[run.metric]) if run.is_share and run.num_rows is None else run
        for run in runs
    ], notes


def _check_shares(values: Mapping[str, float], num_rows: int) -> None:
    """Raises: ConfigError: a share that is no whole number of hits, as far as it was written."""
    for place, value in values.items():
        decimals = min(len(repr(value).partition(".")[2]), 9)
        if abs(round(value * num_rows) / num_rows - value) > 0.5 * 10.0**-decimals + 1e-9:
            raise ConfigError(
                f"audit: rows is {num_rows}, of which {value} ({place}) is no whole number; give "
                "the rows that this share was taken over"
            )
