"""``also_test``: further test sets of a study, on which candidates are tested and nothing else."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bakeoff.config import to_mapping
from bakeoff.data.sources import WIRE
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import check_name
from bakeoff.tasks.contract import ZERO_SHOT, Baseline, Task
from bakeoff.tasks.registry import DEFAULT_KIND, present_keys, read_task
from bakeoff.types import SPLITS

_KEY: Final = "also_test"
_OWN: Final = frozenset(
    {"source", "config", "examples", "group", "select_by", "split_by_hash", "allow_overlap"}
)
"""Keys of the study's task that say nothing of another set of the same kind."""
_MAX_DROP: Final = "max_drop"
_METHODS: Final = "methods"


@dataclass(frozen=True, kw_only=True)
class AlsoTest:
    """A further test set, before its rows are read.

    Attributes:
        task: how its rows are laid out and scored; ``source`` says where they are.
        is_like_task: whether it is of the study's own kind, so that options that the training rows
            decide, such as labels, hold for it too.
        max_drop: by metric, what a recommended method may lose against the untuned base, at most,
            in the metric's own unit.
        methods: of the study that are tested on it, besides the untuned base; None tests all.
    """

    task: Task
    is_like_task: bool
    max_drop: Mapping[str, float]
    methods: tuple[str, ...] | None = None

    @property
    def resolved(self) -> dict[str, Any]:
        """As a plain mapping with every default written out."""
        # Studies of older versions have no such key; where all are tested theirs are the same.
        chosen = {} if self.methods is None else {_METHODS: list(self.methods)}
        return {**to_mapping(self.task.options), _MAX_DROP: dict(self.max_drop), **chosen}


def read_also(
    given: Mapping[str, Mapping[str, Any]],
    task: Task,
    task_given: Mapping[str, Any],
    baselines: tuple[Baseline, ...],
    methods: Collection[str],
) -> dict[str, AlsoTest]:
    """A study's ``also_test`` section, checked.

    Args:
        given: as the study has it. task: the study's. task_given: the study's ``task`` section,
            whose keys a set of the same kind takes over. baselines, methods: the study's.

    Raises:
        ConfigError: for anything that breaks a rule, by its path.
    """
    found: dict[str, AlsoTest] = {}
    for name, section in given.items():
        where = f"{_KEY}.{name}"
        check_name(where, name)
        if name.lower() in SPLITS:
            raise ConfigError(
                f"{where}: {name!r} is one of the study's own sets ({', '.join(SPLITS)}); choose "
                "another name"
            )
        if (other := next((n for n in found if n.lower() == name.lower()), None)) is not None:
            raise ConfigError(
                f"{where}: differs from {_KEY}.{other} in case alone, and both name files; choose "
                "another name"
            )
        found[name] = _read(where, section, task, task_given, methods)
        if found[name].max_drop and ZERO_SHOT not in baselines:
            raise ConfigError(
                f"{where}.{_MAX_DROP}: a drop is measured from {ZERO_SHOT.name}, which baselines "
                "leaves out; name it there"
            )
    return found


def _read(
    where: str,
    section: Mapping[str, Any],
    task: Task,
    task_given: Mapping[str, Any],
    methods: Collection[str],
) -> AlsoTest:
    own = present_keys(section, path=where)
    drops = own.pop(_MAX_DROP, None)
    chosen = _chosen(f"{where}.{_METHODS}", own.pop(_METHODS, None), methods)
    if chosen is not None and drops:
        raise ConfigError(
            f"{where}.{_METHODS}: {where}.{_MAX_DROP} is a limit that every method of the study is "
            "held to, and some would have no scores here; leave one of the two out"
        )
    if own.get("select_by") is not None:
        raise ConfigError(
            f"{where}.select_by: settings are chosen on the study's own validation rows; remove it"
        )
    # A study that is written out with its defaults says false.
    if own.get("allow_overlap"):
        raise ConfigError(
            f"{where}.allow_overlap: has no effect, as what a further test set shares with the "
            "training rows stops nothing and is reported; remove it"
        )
    if "source" not in own:
        raise ConfigError(
            f"{where}.source: is missing; give a folder with a test file, a file, {{test: file}}, "
            f"{WIRE} or a Hub data set"
        )
    own["source"] = _source(where, own["source"])
    is_like_task = own.get("kind", task.kind) == task.kind
    if is_like_task:
        shared = type(task).shared_options(present_keys(task_given), own)
        own = {**{k: v for k, v in shared.items() if k not in _OWN}, **own}
        own.setdefault("kind", DEFAULT_KIND)
    read = read_task(own, path=where)
    return AlsoTest(
        task=read,
        is_like_task=is_like_task,
        max_drop=_drops(f"{where}.{_MAX_DROP}", drops, read),
        methods=chosen,
    )


def _chosen(where: str, given: Any, methods: Collection[str]) -> tuple[str, ...] | None:
    """Which methods are tested on a set; None for all."""
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ConfigError(
            f"{where} = {given!r}: must be a list of the study's methods; [] tests the untuned "
            "base alone, and without this key all are tested"
        )
    for name in given:
        if name not in methods:
            close = difflib.get_close_matches(name, list(methods), n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise ConfigError(
                f"{where}: {name!r} is no method of this study{hint} It has: {', '.join(methods)}"
            )
    return tuple(dict.fromkeys(given))


def _source(where: str, source: Any) -> Any:
    """``{test: file}`` as the file; other splits are of no use here."""
    if not isinstance(source, Mapping):
        return source
    if "test" not in source:
        raise ConfigError(
            f"{where}.source has the keys {sorted(map(str, source))} and no test, which alone is "
            "read; give {test: file}"
        )
    file = source["test"]
    return f"./{WIRE}" if file == WIRE else file


def _drops(where: str, given: Any, task: Task) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where} = {given!r}: must be a mapping from a metric to the largest loss, such as "
            "{nll: 0.05}"
        )
    metrics = [metric.name for metric in task.metrics_before_rows]
    found: dict[str, float] = {}
    for name, value in given.items():
        if name not in metrics:
            near = difflib.get_close_matches(str(name), metrics, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise ConfigError(
                f"{where}: {name!r} is not a metric of this set{hint} It has: {', '.join(metrics)}"
            )
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not (math.isfinite(value) and value >= 0.0):
            raise ConfigError(
                f"{where}.{name}: {value!r} is not a finite number of zero or more; give the loss "
                "that is accepted in the metric's own unit, such as 0.05 nats"
            )
        found[str(name)] = float(value)
    return found
