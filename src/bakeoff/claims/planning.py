"""From the claims of a run to as few studies as hold them all.

Parts that differ in their entrants alone become one study, and equal entrants of several claims one
method of it, trained once. So candidates of all claims share cohorts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bakeoff.base.wire_bases.shapes import FAMILY
from bakeoff.claims.contract import BaseFacts, Claim, Part, Size
from bakeoff.claims.entrants import FROM_LABELS

_MOST_EPOCHS: Final = 48
_SHOTS: Final = (1, 2)
PROMPTS: Final = (
    "{document} {summary}",
    "{document} In short: {summary}",
    "{document} Summary: {summary}",
    "{document} The main points: {summary}",
    "{document} Highlights: {summary}",
    "Summarise this report. {document} {summary}",
    "Report: {document} Its highlights: {summary}",
    "Read the report and write its two main facts. {document} Facts: {summary}",
)
"""Written by hand, once, before any was tried."""


@dataclass(frozen=True, kw_only=True)
class ClaimData:
    """What the claims' studies learn.

    Attributes:
        task, protocol: a study's sections. takes_prompts: whether its template may be another.
        labelled: a study's ``task`` whose answers are class labels, and those labels as they stand
            in its rows; None where there are none.
        desks: a study's ``task.source`` without two subjects, and a file of those; None where the
            data name no subjects. corpus: a file of running text.
    """

    task: Mapping[str, Any]
    protocol: Mapping[str, Any]
    takes_prompts: bool = False
    labelled: tuple[Mapping[str, Any], tuple[str, ...]] | None = None
    desks: tuple[Mapping[str, str], str] | None = None
    corpus: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlannedStudy:
    """One study of a run of claims.

    Attributes:
        name: of its folder. base: its base. mapping: the study's keys.
        methods: by (claim, part), what the study calls each of the part's entrants.
    """

    name: str
    base: str
    mapping: Mapping[str, Any]
    methods: Mapping[tuple[str, str], Mapping[str, str]]

    def share(self, claim: str) -> float:
        """The part of this study that is this claim's, entrants of several being shared."""
        users: dict[str, set[str]] = {}
        for (name, _), found in self.methods.items():
            for method in found.values():
                users.setdefault(method, set()).add(name)
        mine = [1.0 / len(who) for who in users.values() if claim in who]
        return sum(mine) / max(1, len(users))


@dataclass
class _Group:
    """What goes into one study."""

    base: str
    part: Part
    sets: dict[str, None] = field(default_factory=dict)
    shots: bool = False
    methods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    names: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)


def why_untestable(
    claim: Claim, facts: Sequence[BaseFacts], main: BaseFacts, size: Size, data: ClaimData
) -> str:
    """Why a claim cannot be tested with these bases and data; empty where it can."""
    if claim.over_bases and len(facts) < 3:
        return (
            "It is about the scale of bases, and takes at least three of one family: give "
            "--bases A,B,C, or make the family's with `bakeoff bases make NAME`."
        )
    parts = claim.design(main, size)
    if not parts and claim.measure is None:
        return "The base has no layers that its design could tune."
    for part in parts:
        if part.desks and data.desks is None:
            return (
                "It needs a subject that training leaves out, which is known of the made articles "
                "alone: run it without --data."
            )
        if part.prompts and not data.takes_prompts:
            return "Its written prompts are for documents with summaries; the data are none."
        if "corpus" in part.sets and not (data.corpus and _is_of_family(main.reference)):
            return (
                "It needs running text that the base was trained on, which is known of tiny's "
                "family alone: run it without --data on tiny or on a base wire-*."
            )
    return ""


def _is_of_family(reference: str) -> bool:
    """Whether a base is tiny or one of its family, by its name or its folder's."""
    return Path(reference).name in ("tiny", *FAMILY)


def plan_studies(
    claims: Mapping[str, Claim],
    facts: Sequence[BaseFacts],
    main: BaseFacts,
    size: Size,
    data: ClaimData,
) -> list[PlannedStudy]:
    """The studies that the claims need.

    Args:
        claims: by name, those that can be tested.
        facts: of the bases, for claims about several. main: of the one that the others are about.
    """
    groups: dict[str, _Group] = {}
    for name, claim in claims.items():
        for base in facts if claim.over_bases else (main,):
            for part in claim.design(base, size):
                _add(groups, name, base.reference, _fitted(part, data))
    return [_study(key, group, size, data) for key, group in groups.items()]


def _fitted(part: Part, data: ClaimData) -> Part:
    """The part on these data: with their labels, or without what needs labels."""
    if not part.labelled:
        return part
    labels = None if data.labelled is None else data.labelled[1]
    entrants = {}
    for name, method in part.entrants.items():
        if method.get("init") != FROM_LABELS:
            entrants[name] = method
        elif labels:
            entrants[name] = {**method, "init": {"labels": list(labels)}}
    return replace(part, entrants=entrants, labelled=bool(labels))


def _add(groups: dict[str, _Group], claim: str, base: str, part: Part) -> None:
    # Written prompts ask every candidate eight times more, so these share with none.
    how: tuple[object, ...] = (
        base,
        part.train_rows,
        part.max_length,
        part.tuned,
        part.desks,
        part.prompts,
    )
    if part.labelled:
        how = (*how, "labelled")
    key = hashlib.sha256(json.dumps(how).encode()).hexdigest()[:8]
    group = groups.setdefault(key, _Group(base=base, part=part))
    group.sets.update(dict.fromkeys(part.sets))
    group.shots |= part.shots
    names: dict[str, str] = {}
    for entrant, method in part.entrants.items():
        same = next((n for n, known in group.methods.items() if known == method), None)
        chosen = same or (f"{claim}_{entrant}" if entrant in group.methods else entrant)
        group.methods[chosen] = method
        names[entrant] = chosen
    group.names[(claim, part.name)] = names


def _study(key: str, group: _Group, size: Size, data: ClaimData) -> PlannedStudy:
    part = group.part
    rows = min(part.train_rows or size.train_rows, size.train_rows)
    counts = {"train": rows, "validation": size.validation_rows, "test": size.test_rows}
    learnt = data.task
    if part.labelled:
        assert data.labelled is not None
        learnt = data.labelled[0]
    task = {**learnt, "examples": counts, "metrics": ["nll"]}
    if part.max_length is not None:
        task["max_length"] = part.max_length
    if part.desks:
        assert data.desks is not None
        task["source"] = dict(data.desks[0])
    also: dict[str, Any] = {}
    for name in group.sets:
        also[name] = _set(name, size, data)
    if part.prompts:
        for i, template in enumerate(PROMPTS, start=1):
            also[f"prompt_{i}"] = {
                **{"source": task["source"], "examples": {"test": size.test_rows}},
                "template": template,
            }
    epochs = min(_MOST_EPOCHS, round(size.epochs * size.train_rows / rows))
    called = part.name or ("labels" if part.labelled else "main")
    name = f"{Path(group.base).name.replace(':', '-')}-{called}-{key}"
    search = {"learning_rates": size.rates, "growth": size.growth} if part.tuned else None
    mapping: dict[str, Any] = {
        "name": name,
        "base": group.base,
        "task": task,
        "baselines": ["zero_shot", *([{"few_shot": {"shots": list(_SHOTS)}}] * group.shots)],
        "protocol": {**data.protocol, "epochs": epochs, "seeds": size.seeds},
        "methods": {n: dict(method) for n, method in group.methods.items()},
        "search": search,
        "also_test": also,
    }
    return PlannedStudy(name=name, base=group.base, mapping=mapping, methods=group.names)


def _set(name: str, size: Size, data: ClaimData) -> dict[str, Any]:
    if name == "corpus":
        assert data.corpus is not None
        return {"kind": "text", "source": {"test": data.corpus}, "text": "text", "max_length": 256}
    assert data.desks is not None
    return {"source": {"test": data.desks[1]}, "examples": {"test": size.test_rows}}
