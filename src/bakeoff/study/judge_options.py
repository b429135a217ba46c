"""``judge`` of a study and ``judge`` among its task's metrics: two halves of one setting."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bakeoff.config import to_mapping
from bakeoff.decide.prices import PriceOptions
from bakeoff.errors import ConfigError
from bakeoff.formatting import join
from bakeoff.metrics.judge import NAME, REFERENCE, JudgeOptions


def move_judge(merged: dict[str, Any]) -> None:
    """Takes options that stand beside the metric to the study's ``judge``, which wins over them."""
    task = merged.get("task")
    metrics = task.get("metrics") if isinstance(task, dict) else None
    if not isinstance(task, dict) or not isinstance(metrics, list | tuple):
        return
    for entry in metrics:
        if _is_judge(entry) and isinstance(entry, Mapping) and isinstance(entry[NAME], Mapping):
            given = merged.get(NAME)
            own = given if isinstance(given, Mapping) else {}
            merged[NAME] = {**entry[NAME], **own}
    plain = [NAME if _is_judge(entry) else entry for entry in metrics]
    merged["task"] = {**task, "metrics": plain}


def check_judge(judge: JudgeOptions | None, task: Mapping[str, Any], prices: PriceOptions) -> None:
    """Raises ConfigError where one half has no other, or what a study asks of it cannot be."""
    metrics = task.get("metrics")
    is_named = any(map(_is_judge, metrics)) if isinstance(metrics, list | tuple) else False
    if is_named and judge is None:
        raise ConfigError(
            "judge: is missing, as task.metrics has judge; say who judges: judge: {endpoint: "
            "http://127.0.0.1:8000/v1, model: NAME}"
        )
    if judge is None:
        return
    if not is_named:
        raise ConfigError(
            "judge: has no effect, as task.metrics has no judge; add it there, or remove this key"
        )
    if task.get("select_by") == NAME:
        raise ConfigError(
            "task.select_by: 'judge' is asked about test answers alone, and settings are chosen on "
            "validation rows; name another metric, or leave it out"
        )
    if judge.max_cost is not None and not (judge.prices.is_known or prices.tokens.is_known):
        raise ConfigError(
            f"judge.max_cost: {judge.max_cost:g} bounds nothing without prices; give judge.prices: "
            "{input_tokens: ..., output_tokens: ...}, each for a million tokens"
        )


def check_against(
    judge: JudgeOptions | None, known: Sequence[str], *, also: Collection[str] = (), then: str = ""
) -> None:
    """Holds what a judge compares with against what there will be.

    Args:
        judge: the study's. known: names of baselines to choose from. also: other names of these.
        then: the end of the error's sentence.

    Raises:
        ConfigError: it is none of them, and not each row's reference.
    """
    choices = [REFERENCE, *known]
    if judge is None or judge.against is None or judge.against in (*choices, *also):
        return
    raise ConfigError(
        f"judge.against: {judge.against!r} is no baseline of this study; give one of "
        f"{join(choices)}{then}"
    )


def with_judge_options(task: Mapping[str, Any], judge: JudgeOptions | None) -> dict[str, Any]:
    """A task's section in which the metric ``judge`` has its options."""
    if judge is None:
        return dict(task)
    options = to_mapping(judge)
    return {**task, "metrics": [{NAME: options} if _is_judge(m) else m for m in task["metrics"]]}


def without_judge_options(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task's section in which the metric ``judge`` is a name alone."""
    metrics = task.get("metrics")
    if not isinstance(metrics, list | tuple):
        return dict(task)
    return {**task, "metrics": [NAME if _is_judge(entry) else entry for entry in metrics]}


def without_judge(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task's section without the metric: further test sets have none."""
    metrics = task.get("metrics")
    if not isinstance(metrics, list | tuple):
        return dict(task)
    return {**task, "metrics": [entry for entry in metrics if not _is_judge(entry)]}


def _is_judge(entry: Any) -> bool:
    return entry == NAME or (isinstance(entry, Mapping) and len(entry) == 1 and NAME in entry)
