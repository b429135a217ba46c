"""Baselines: which of them a study names, and those that several kinds of tasks share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from bakeoff.errors import ConfigError
from bakeoff.tasks.contract import FEW_SHOT, ZERO_SHOT, Baseline, Task

_RULE: Final = "give a name, such as zero_shot, or {few_shot: {shots: [1, 2, 4]}}"


def read_baselines(
    task: Task, given: Sequence[str | Mapping[str, Any]] | None
) -> tuple[Baseline, ...]:
    """What takes part in a study without training.

    Args:
        task: the study's. given: as the study names them; None takes the kind's own.

    Raises:
        ConfigError: for one that the kind does not have, or one that is named twice.
    """
    if given is None:
        return task.baselines
    known = {**task.all_baselines, ZERO_SHOT.name: ZERO_SHOT}
    if task.takes_shots:
        known[FEW_SHOT.name] = FEW_SHOT
    found: dict[str, Baseline] = {}
    for entry in given:
        name, options = _named(entry)
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise ConfigError(
                f"baselines: {name!r} is not a baseline of {task.kind}{hint} It has "
                f"{', '.join(sorted(known))}"
            )
        if name in found:
            raise ConfigError(f"baselines: {name} is named twice; name it once")
        found[name] = _with_options(known[name], options)
    return tuple(found.values())


def _named(entry: str | Mapping[str, Any]) -> tuple[str, Any]:
    if isinstance(entry, str):
        return entry, None
    if len(entry) != 1:
        raise ConfigError(f"baselines: {dict(entry)} is not one baseline; {_RULE}")
    [(name, options)] = entry.items()
    return name, options


def _with_options(baseline: Baseline, options: Any) -> Baseline:
    if options is None:
        return baseline
    place = f"baselines.{baseline.name}"
    if not baseline.shots:
        raise ConfigError(f"{place}: it has no options, but was given {options!r}; {_RULE}")
    shots = options.get("shots") if isinstance(options, Mapping) else options
    if isinstance(options, Mapping) and set(options) != {"shots"}:
        raise ConfigError(f"{place}: {dict(options)}: its one option is shots; {_RULE}")
    numbers = [shots] if isinstance(shots, int) else shots
    if (
        not isinstance(numbers, Sequence)
        or isinstance(numbers, str)
        or not numbers
        or any(type(number) is not int or number < 1 for number in numbers)
    ):
        raise ConfigError(
            f"{place}.shots: {shots!r} is not a number of rows of 1 or more, nor a list of them; "
            f"{_RULE}"
        )
    return dataclasses.replace(baseline, shots=tuple(sorted(set(numbers))))
