"""Results of EleutherAI's lm-evaluation-harness.

``results_DATE.json`` holds one evaluation of one model over several tasks, each metric under
``METRIC,FILTER`` with its standard error. With ``--log_samples`` there is a
``samples_TASK_DATE.jsonl`` beside it for each task, with the scores of single rows.

Source: lm_eval/loggers/evaluation_tracker.py, lm_eval/result_schema.py (0.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bakeoff.audits.fields import Field
from bakeoff.audits.lm_eval_samples import Samples, read_samples
from bakeoff.audits.published import Run
from bakeoff.errors import DataError

GROUP = "lm-eval"
REMEDY = "get the file again from the harness's --output_path, or leave it out"
_DATE = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?"
_RESULTS = re.compile(rf"_({_DATE})$")
_SAMPLES = re.compile(rf"^samples_(.+)_({_DATE})$")
_SEED = re.compile(r"^(.+?)[-_./]*seed[-_=]?(\d+)$", re.IGNORECASE)
_SETTINGS = (
    "chat_template_sha", "system_instruction_sha", "fewshot_as_multiturn",
)  # fmt: skip
_VERSIONS = {"lm_eval_version": "lm_eval", "transformers_version": "transformers"}
# Beside metrics in a task's results.
_NO_METRICS = {"name", "alias", "sample_len", "sample_count", "version"}

Beside = Mapping[str, Path]
"""Files of samples by the name of their task, with all but letters and digits as underscores."""


def is_lm_eval(content: Any) -> bool:
    """Whether parsed JSON is a results file of the harness."""
    return (
        isinstance(content, dict)
        and "results" in content
        and bool({"configs", "versions", "config"} & set(content))
    )


def is_samples(file: Path) -> bool:
    """Whether a file's name is that of a task's samples."""
    return file.suffix == ".jsonl" and file.name.startswith("samples_")


def pair_samples(results: Iterable[Path], samples: Iterable[Path]) -> dict[Path, dict[str, Path]]:
    """The files of samples that belong to each results file: of its folder and its date.

    Raises:
        DataError: samples without their results file, which names the model.
    """
    paired: dict[Path, dict[str, Path]] = {file: {} for file in results}
    dated = {
        (file.parent, found.group(1)): file
        for file in paired
        if (found := _RESULTS.search(file.stem)) is not None
    }
    for file in samples:
        named = _SAMPLES.match(file.stem)
        owner = None if named is None else dated.get((file.parent, named.group(2)))
        if named is None or owner is None:
            date = "DATE" if named is None else named.group(2)
            raise DataError(
                f"{file}: there is no results_{date}.json in its folder among the files given, "
                "which names the model; give that file as well, or leave this one out"
            )
        paired[owner][named.group(1)] = file
    return paired


def read_lm_eval(content: Field, beside: Beside) -> tuple[list[Run], list[str]]:
    """The runs of one results file, one for each metric of each task.

    Tasks that are part of a group with a figure of its own are not taken one by one.

    Args:
        content: of the file. beside: its files of samples.

    Returns:
        The runs, and notes on samples that were not used.

    Raises:
        DataError: a key that is missing or of another kind, or samples that do not fit.
    """
    model = _model(content)
    method, seed = _seed_of(model)
    results = content["results"]
    skipped = _parts_of_groups(content, results)
    runs: list[Run] = []
    notes: list[str] = []
    for task, found in results.items():
        if task in skipped:
            continue
        file = beside.get(re.sub(r"\W", "_", task))
        samples = None if file is None else read_samples(file, REMEDY)
        num_rows = _num_rows(content, task)
        if samples is not None and num_rows is not None:
            samples.check_rows(num_rows)
        for key, value in found.items():
            name, _, kept = key.partition(",")
            if key in _NO_METRICS or name.endswith("_stderr") or not _is_number(value.value):
                continue
            scores = None if samples is None else samples.scores(name, kept or "none")
            note = _misfit(samples, scores, name, kept, value)
            if note is not None:
                notes.append(note)
                scores = None
            error = found.mapping().get(f"{name}_stderr,{kept}" if kept else f"{name}_stderr")
            runs.append(
                Run(
                    group=GROUP,
                    method=method,
                    seed=seed,
                    metric=f"{task} {name}" + (f" ({kept})" if kept not in ("", "none") else ""),
                    value=value.number(),
                    place=str(content.file),
                    higher_is_better=_direction(content, task, name),
                    is_share=name.startswith(("acc", "exact_match")) and 0 <= value.value <= 1,
                    num_rows=num_rows if scores is None else len(scores.values),
                    error=_number(error),
                    scores=scores,
                    settings=_settings(content, task),
                    circumstances=_versions(content),
                    made=_made(content),
                )
            )
    return runs, notes


def _model(content: Field) -> str:
    """What was evaluated: an adapter goes before the base that it is put on."""
    named = content.get("model_name")
    if named is not None:
        return named.text()
    config = content["config"]
    arguments = config.get("model_args")
    given = {} if arguments is None else arguments.value
    if isinstance(given, str):
        given = dict(part.partition("=")[::2] for part in given.split(","))
    for key in ("peft", "delta", "pretrained", "model", "path", "engine"):
        if isinstance(given, dict) and given.get(key):
            return str(given[key])
    return config["model"].text()


def _seed_of(model: str) -> tuple[str, str]:
    """``lora-seed1`` is seed 1 of ``lora``."""
    found = _SEED.match(model)
    return (model, "0") if found is None else (found.group(1), found.group(2))


def _parts_of_groups(content: Field, results: Field) -> set[str]:
    """Tasks of which a group shows one figure."""
    groups = content.get("group_subtasks")
    parts: dict[str, list[str]] = {}
    for group, tasks in [] if groups is None else groups.items():
        found = results.mapping().get(group)
        if isinstance(found, dict) and any(_is_metric(k, v) for k, v in found.items()):
            parts[group] = [task.text() for task in tasks.entries()]
    skipped: set[str] = set()
    waiting = [task for tasks in parts.values() for task in tasks]
    while waiting:
        task = waiting.pop()
        if task not in skipped:
            skipped.add(task)
            waiting += parts.get(task, [])
    return skipped


def _is_metric(key: str, value: Any) -> bool:
    return key not in _NO_METRICS and "_stderr" not in key and _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    """A standard error; the harness writes ``N/A`` where there is none."""
    return float(value) if _is_number(value) and math.isfinite(value) else None


def _num_rows(content: Field, task: str) -> int | None:
    counts = content.get("n-samples")
    own = None if counts is None else counts.get(task)
    effective = None if own is None else own.get("effective")
    return None if effective is None else effective.whole()


def _direction(content: Field, task: str, metric: str) -> bool | None:
    known = content.get("higher_is_better")
    own = None if known is None else known.get(task)
    found = None if own is None else own.mapping().get(metric)
    return found if isinstance(found, bool) else None


def _misfit(samples: Samples | None, scores: Any, name: str, kept: str, value: Field) -> str | None:
    """Why the scores of rows are not used."""
    if samples is None:
        return None
    what = f"{samples.file}: {name}" + (f" ({kept})" if kept else "")
    if scores is None:
        return f"{what} is not a number for every row, so only the published figure is used"
    mean, published = float(scores.values.mean()), value.number()
    if abs(mean - published) <= 1e-6 * max(1.0, abs(published)):
        return None
    return (
        f"{what} has the mean {mean:.6g} over rows where {published:.6g} is published, so it is "
        "no mean of rows, or the files do not belong together; only the published figure is used"
    )


def _settings(content: Field, task: str) -> dict[str, str]:
    """How the model was asked."""
    found = {key: str(content.mapping().get(key)) for key in _SETTINGS}
    for key, what in (("versions", "version of the task"), ("n-shot", "shots")):
        by_task = content.get(key)
        if by_task is not None:
            found[what] = str(by_task.mapping().get(task))
    config = content.get("config")
    for key in ("limit", "gen_kwargs"):
        found[key] = str(None if config is None else config.mapping().get(key))
    return found


def _versions(content: Field) -> dict[str, str]:
    found = {name: content.get(key) for key, name in _VERSIONS.items()}
    return {name: value.text() for name, value in found.items() if value is not None}


def _made(content: Field) -> str:
    """The date in the file's name, else the harness's own clock."""
    named = _RESULTS.search(content.file.stem)
    if named is not None:
        return named.group(1)
    date = content.get("date")
    return "" if date is None else f"{date.number():020.3f}"
