"""What may differ between two calls on one run's folder: a study may grow, and leave parts out.

What a candidate was trained to depends on the base, the data, the training protocol, and its own
method, options, rate and seed. The former must be as they were. The latter name the candidate, so
that more of them may come and some may go: what is there is taken up by its name.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bakeoff.config import differing
from bakeoff.runs.settings import setting

FREE: Final = frozenset({"checkpoint_minutes", "execution", "prices", "track"})
"""These decide how a run goes, but not what it finds."""
_GROWS: Final = (
    *("methods", "search", "protocol.seeds", "also_test", "baselines", "learning_curve", "judge"),
    *("bases", "templates"),
    *("task.metrics", "task.baselines", "task.lead_sentences"),
)
"""Which candidates there are, and what they and the baselines are scored by. What a method's name
stands for is compared besides (``Outline.settings``)."""
_NAMED: Final = ("methods", "also_test")
_GIVEN: Final = re.compile(r"[/\\](rows-[0-9a-f]{32}(?:[/\\]rows(?:\.[a-z]+){1,2})?)$")
_PLACES: Final = ("base", "task.source")
"""Where the base and the data lie; what is there is compared by its content (``inputs.json``)."""
_GROWTH: Final = (
    "A study may grow by methods, seeds, learning rates, searched options, metrics, test sets, "
    "sizes of a learning curve, baselines and levels of bases and templates, and leave some of "
    "them out; with another base, other "
    "data or another protocol of training its results would not go together."
)
_EPOCHS: Final = "protocol.epochs"
_SEARCH: Final = (
    "More epochs and another search are two steps; go on with more epochs first, then change the "
    "search."
)
_SETTINGS: Final = (
    "Candidates are known by their method's name, and those of {names} were trained with other "
    "options; give the new ones a method of another name, such as {example}_2."
)
_DECISION: Final = "What counts as better is fixed before the test set is opened."


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A study as two calls on one folder are compared by.

    Attributes:
        resolved: as a plain mapping with every default written out.
        settings: by method, then by the label of its searched options, its kind and all options:
            what the names of its candidates stand for.
        searched: ids of the candidates that its searches begin with.
        deciding: the metric that decides, whether it is named or the task's own; None where that
            is not known.
        writes: whether texts are asked for, so that it counts how they are written.
    """

    resolved: Mapping[str, Any]
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    searched: tuple[str, ...] = ()
    deciding: str | None = None
    writes: bool = True

    @classmethod
    def plain(cls, resolved: Mapping[str, Any]) -> Outline:
        """Of a study of which nothing is known but its mapping."""
        return cls(resolved=resolved)


Longer = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
"""Whether a study may go on with more epochs, given it with those before and now: None where it
may, else why not."""
OutlineOf = Callable[[Mapping[str, Any]], Outline]


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What differs between a folder's study and a new one, a line for each key (there and here).

    Attributes:
        refused: what makes it another study. why: the rule and the remedy of each, in sentences.
        changed: what it may grow by, or leave out.
        moved: places where base or data lie; it depends on what is there.
        longer: the number of epochs, where training goes on from the last one.
    """

    refused: tuple[str, ...] = ()
    why: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    longer: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.refused or self.changed or self.moved or self.longer)


def growth_of(before: Outline, now: Outline, longer: Longer = lambda before, now: "") -> Growth:
    """What differs between two studies, and whether one may become the other."""
    lines = differing(without_free_keys(before.resolved), without_free_keys(now.resolved))
    others = _other_settings(before, now)
    lines |= others
    if None not in (before.deciding, now.deciding) and before.deciding != now.deciding:
        # Metrics that come or go may change which one is the task's own.
        lines.setdefault(
            "decision.metric",
            f"decision.metric: {before.deciding} and {now.deciding} (the metric that decides; "
            f"decision.metric: {before.deciding} keeps it)",
        )
    refused, changed, moved = [], [], []
    grows = _GROWS if before.writes else (*_GROWS, "generation")
    for key, line in lines.items():
        if _is_below(key, grows) and key not in others:
            changed.append(_named(key, before, now) or line)
        elif _is_below(key, _PLACES) and _are_there(setting(now.resolved, key)):
            moved.append(line)
        else:
            refused.append(key)
    why_not = _why_not_longer(before, now, longer, changed) if refused == [_EPOCHS] else ""
    if why_not is None:
        return Growth(changed=tuple(changed), moved=tuple(moved), longer=(lines[_EPOCHS],))
    return Growth(
        refused=tuple(lines[key] for key in refused),
        why=tuple(_reasons(refused, others, why_not)) if refused else (),
        changed=tuple(changed),
        moved=tuple(moved),
    )


def _named(key: str, before: Outline, now: Outline) -> str | None:
    """Whole methods or test sets that came or went, without their options; None for others."""
    was, is_now = setting(before.resolved, key), setting(now.resolved, key)
    held = is_now if was is None else was
    if not key.startswith(_NAMED) or None not in (was, is_now) or not isinstance(held, Mapping):
        return None
    names = key if "." in key else ", ".join(f"{key}.{name}" for name in held)
    return f"{names} {'added' if was is None else 'left out'}"


def _why_not_longer(
    before: Outline, now: Outline, longer: Longer, changed: Sequence[str]
) -> str | None:
    """Why training does not go on with another number of epochs, or None where it does."""
    if changed and setting(now.resolved, "search") != setting(before.resolved, "search"):
        return _SEARCH
    if changed and setting(now.resolved, "search") is not None:
        return _SEARCH
    protocol = {**now.resolved["protocol"], "epochs": setting(before.resolved, _EPOCHS)}
    return longer({**now.resolved, "protocol": protocol}, now.resolved)


def with_ledger(outline: Outline, ledger: Mapping[str, Any]) -> Outline:
    """An outline with what candidates of still earlier calls stand for.

    Args:
        ledger: as ``ledger_of`` wrote it; what is missing in it, or torn, adds nothing.
    """
    kept, searched = ledger.get("settings"), ledger.get("searched")
    settings = {name: dict(labels) for name, labels in outline.settings.items()}
    for name, labels in (kept if isinstance(kept, dict) else {}).items():
        for label, options in (labels if isinstance(labels, dict) else {}).items():
            if isinstance(options, dict):
                settings.setdefault(name, {}).setdefault(label, options)
    known = searched if isinstance(searched, list) else []
    return replace(
        outline,
        settings=settings,
        searched=tuple(dict.fromkeys((*outline.searched, *map(str, known)))),
    )


def ledger_of(*outlines: Outline) -> dict[str, Any]:
    """What all studies of a folder named, as plain values."""
    settings: dict[str, dict[str, Any]] = {}
    for outline in outlines:
        for name, labels in outline.settings.items():
            settings.setdefault(name, {}).update({k: dict(v) for k, v in labels.items()})
    searched = sorted({id for outline in outlines for id in outline.searched})
    return {"settings": settings, "searched": searched}


def _other_settings(before: Outline, now: Outline) -> dict[str, str]:
    """By dotted key the lines of options by which names of candidates meant another setting."""
    found: dict[str, str] = {}
    for name, labels in now.settings.items():
        for label, options in labels.items():
            known = before.settings.get(name, {}).get(label, {})
            # A version of the program may know an option that another does not.
            common = [key for key in options if key in known]
            lines = differing({k: known[k] for k in common}, {k: options[k] for k in common})
            found |= {f"methods.{name}.{k}": f"methods.{name}.{line}" for k, line in lines.items()}
    return found


def _reasons(keys: Iterable[str], names: Iterable[str], why_not_longer: str) -> list[str]:
    """What to say of keys that are refused, each rule once."""
    methods = list(dict.fromkeys(name.split(".")[1] for name in names))
    found = []
    if methods:
        found.append(_SETTINGS.format(names=", ".join(methods), example=methods[0]))
    if why_not_longer:
        found.append(why_not_longer)
    if any(_is_below(key, ("decision",)) for key in keys):
        found.append(_DECISION)
    return [*found, _GROWTH]


def _are_there(places: Any) -> bool:
    """Whether all paths and patterns name something that is there."""
    if isinstance(places, Mapping):
        return all(map(_are_there, places.values()))
    if isinstance(places, list):
        return all(map(_are_there, places))
    return Path(str(places)).exists() or any(glob.iglob(str(places), recursive=True))


def _is_below(key: str, places: Iterable[str]) -> bool:
    return any(key == place or key.startswith(f"{place}.") for place in places)


def given_rows_in(source: Any) -> str | None:
    """Of a source that is rows given in Python, the part of its path that their content names."""
    found = _GIVEN.search(source) if isinstance(source, str) else None
    return None if found is None else found[1].replace("\\", "/")


def without_free_keys(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved study without what may differ between calls; where given rows lie is free too."""
    kept = {key: value for key, value in tree.items() if key not in FREE}
    task = kept.get("task")
    if isinstance(task, Mapping) and (given := given_rows_in(task.get("source"))):
        kept["task"] = {**task, "source": given}
    return kept
