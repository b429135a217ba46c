"""From the claims of a run to as few studies as hold them all.

Parts that differ in their entrants alone become one study, and equal entrants of several claims one
method of it, trained once. So candidates of all claims share cohorts. Studies and methods are
called by what they are, so that a call with other claims finds the same ones.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bakeoff.base.wire_bases.shapes import is_member
from bakeoff.claims.contract import BaseFacts, Claim, Part, Size
from bakeoff.claims.entrants import FROM_LABELS, full, lora, prefix, soft_prompt

_MOST_EPOCHS: Final = 128
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
FEW_SHOT: Final = "few_shot"
UNTUNED: Final = "zero_shot"
_PLAIN_WORD: Final = re.compile(r"[A-Za-z0-9.-]{1,12}")
_LONGEST_NAME: Final = 40
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]")
"""Characters that a study's name may not have, see ``methods.entries``."""
_LONGEST_STUDY_NAME: Final = 64
_LEAST_BASES: Final = 3
_SETS: Final = ("desks", "sheets", "corpus")
_SHIFTED: Final = frozenset(("desks", "sheets"))
"""Further test sets of the made articles alone."""
_LENGTHS: Final = ("prompt_length", "prefix_length")
"""Options that take positions beside a row."""
_NUMBERS: Final = ("rank", "prompt_length", "prefix_length")
"""The option that a method's name begins with after its kind."""
_PLAIN: Final[Mapping[str, Callable[[BaseFacts, int], Mapping[str, Any]]]] = {
    "lora": lora,
    "soft_prompt": soft_prompt,
    "prefix": prefix,
}


def prompt_set(number: int) -> str:
    """What a written prompt is called, as a condition and as a further test set."""
    return f"prompt_{number}"


@dataclass(frozen=True, kw_only=True)
class ClaimData:
    """What the claims' studies learn.

    Attributes:
        task, protocol: a study's sections. takes_prompts: whether its template may be another.
        labelled: a study's ``task`` whose answers are class labels, and those labels as they stand
            in its rows; None where there are none.
        desks: a study's ``task.source`` without two subjects, and by further test set a file of
            what its rows are shifted to; None where the data name no subjects.
        corpus: a file of running text. train_rows, validation_rows, test_rows: how many there are
            at most; None where there are as many as any design asks for.
        prompts_source: a ``task.source`` of the study's own test rows, for the written prompts;
            None where the study's source gives these as a further test set too.
        sha256: of the rows of one's own; empty for the made articles.
        notes: what a reader of a verdict on trainings should know of the rows, in sentences.
    """

    task: Mapping[str, Any]
    protocol: Mapping[str, Any]
    takes_prompts: bool = False
    labelled: tuple[Mapping[str, Any], tuple[str, ...]] | None = None
    desks: tuple[Mapping[str, str], Mapping[str, str]] | None = None
    corpus: str | None = None
    train_rows: int | None = None
    validation_rows: int | None = None
    test_rows: int | None = None
    prompts_source: Mapping[str, str] | None = None
    sha256: str = ""
    notes: tuple[str, ...] = ()

    def filled(self, size: Size) -> Size:
        """A size of designs with no more rows than there are."""
        there = {
            "train_rows": self.train_rows,
            "validation_rows": self.validation_rows,
            "test_rows": self.test_rows,
        }
        known = {name: count for name, count in there.items() if count is not None}
        return replace(size, **{n: min(count, getattr(size, n)) for n, count in known.items()})


@dataclass(frozen=True, kw_only=True)
class PlannedStudy:
    """One study of a run of claims.

    Attributes:
        name: of its folder. base: its base. mapping: the study's keys.
        methods: by (claim, part), what the study calls each of the part's entrants.
        parts: by (claim, part), the part as these data allow it.
    """

    name: str
    base: str
    mapping: Mapping[str, Any]
    methods: Mapping[tuple[str, str], Mapping[str, str]]
    parts: Mapping[tuple[str, str], Part]

    @property
    def claims(self) -> tuple[str, ...]:
        """Whose parts it holds."""
        return tuple(dict.fromkeys(claim for claim, _ in self.methods))

    def share(self, claim: str, weights: Mapping[str, float] | None = None) -> float:
        """The part of this study that is this claim's, entrants of several being shared.

        Args:
            claim: one of its claims. weights: what each method took, in any unit; what took
                nothing was not trained, and counts for no claim. All count alike without.
        """
        users: dict[str, set[str]] = {}
        for (name, _), found in self.methods.items():
            for method in found.values():
                users.setdefault(method, set()).add(name)
        taken = dict.fromkeys(users, 1.0) if weights is None else weights
        mine = [taken.get(m, 0.0) / len(who) for m, who in users.items() if claim in who]
        total = sum(taken.get(method, 0.0) for method in users)
        return sum(mine) / total if total else 0.0

    def narrowed(self, claims: Collection[str]) -> PlannedStudy:
        """The same study with what these claims need, and no more."""
        methods = {at: found for at, found in self.methods.items() if at[0] in claims}
        parts = {at: part for at, part in self.parts.items() if at[0] in claims}
        used = {method for found in methods.values() for method in found.values()}
        also = self.mapping["also_test"]
        mapping = {
            **self.mapping,
            "baselines": _baselines(parts.values()),
            "methods": {n: m for n, m in self.mapping["methods"].items() if n in used},
            "also_test": {
                name: {**also[name], "methods": asked}
                for name, asked in _asked_on(methods, parts).items()
            },
        }
        return replace(self, mapping=mapping, methods=methods, parts=parts)


@dataclass
class _Group:
    """What goes into one study."""

    base: BaseFacts
    part: Part
    methods: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    names: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)


def why_untestable(
    claim: Claim, facts: Sequence[BaseFacts], main: BaseFacts, size: Size, data: ClaimData
) -> str:
    """Why a claim cannot be tested with these bases and data; empty where it can."""
    if claim.over_bases and len({one.parameters for one in facts}) < _LEAST_BASES:
        return (
            "It is about the scale of bases, and takes at least three sizes of one family: give "
            "--bases A,B,C, or make the family's with `bakeoff bases make NAME`."
        )
    for base in facts if claim.over_bases else (main,):
        why = _why_not_on(claim.design(base, size), claim, base, data)
        if why:
            return why
    return ""


def _why_not_on(parts: Sequence[Part], claim: Claim, base: BaseFacts, data: ClaimData) -> str:
    """Why a base and data do not allow a design; empty where they do."""
    if not parts and claim.measure is None:
        return "The base has no layers that its design could tune, or too few positions."
    for part in parts:
        unknown = sorted(set(part.sets) - set(_SETS))
        assert not unknown, f"its design asks for the further sets {unknown}; there are {_SETS}"
        if (part.desks or _SHIFTED & set(part.sets)) and data.desks is None:
            return (
                "It needs a subject that training leaves out, which is known of the made articles "
                "alone: run it without --data."
            )
        if part.prompts and not data.takes_prompts:
            return "Its written prompts are for documents with summaries; the data are none."
        if "corpus" in part.sets and not (data.corpus and is_member(base.reference, Path.cwd())):
            return (
                "It needs running text that the base was trained on, which is known of tiny's "
                "family alone: run it without --data on tiny or on a base wire-*."
            )
        if (why := _why_too_long(part, base, data)) is not None:
            return why
    return ""


def _why_too_long(part: Part, base: BaseFacts, data: ClaimData) -> str | None:
    """Why rows, answers and prompts of a part do not go together; None where they do."""
    row = part.max_length or data.task.get("max_length")
    answer = data.task.get("max_target_tokens")
    if part.max_length is not None and answer is not None and part.max_length <= answer:
        return (
            f"Its rows of {part.max_length} tokens leave no room before answers of up to {answer}."
        )
    prompts = [int(one.get(key, 0)) for one in part.entrants.values() for key in _LENGTHS]
    longest = max(prompts, default=0)
    if base.positions is None or row is None or longest + row <= base.positions:
        return None
    return (
        f"A prompt of {longest} tokens beside rows of {row} takes {longest + row} positions, and "
        f"{base.reference} has {base.positions}."
    )


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
                _add(groups, name, base, fitted(part, data), size)
    return [_study(key, group, size, data) for key, group in groups.items()]


def fitted(part: Part, data: ClaimData) -> Part:
    """The part on these data: with their labels, or without what needs labels, and with all rows
    where it asks for as many as there are."""
    if part.train_rows is not None and part.train_rows >= (data.train_rows or math.inf):
        part = replace(part, train_rows=None)
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


def _add(groups: dict[str, _Group], claim: str, base: BaseFacts, part: Part, size: Size) -> None:
    how = (
        *(size.name, base.reference, part.train_rows, part.max_length),
        *(part.tuned, part.desks, part.labelled),
    )
    key = hashlib.sha256(json.dumps(how).encode()).hexdigest()[:8]
    group = groups.setdefault(key, _Group(base=base, part=part))
    names = {entrant: method_name(method, base) for entrant, method in part.entrants.items()}
    for entrant, name in names.items():
        group.methods[name] = part.entrants[entrant]
    group.names[(claim, part.name)] = names
    group.parts[(claim, part.name)] = part


def method_name(method: Mapping[str, Any], facts: BaseFacts) -> str:
    """What studies call a method: by its content alone, whichever claims there are.

    Args:
        method: a study's. facts: of the base, for which the plain methods are known.
    """
    number = next((int(method[key]) for key in _NUMBERS if key in method), None)
    kind = str(method["kind"])
    usual: Mapping[str, Any] = {}
    if kind == "full":
        usual = full(facts)
    elif kind in _PLAIN and number is not None:
        usual = _PLAIN[kind](facts, number)
    named = kind.removesuffix("_prompt")
    if number is not None:
        named = f"{named}_{number}"
    other = {
        key: method.get(key)
        for key in sorted({*usual, *method} - {"kind", *_NUMBERS})
        if method.get(key) != usual.get(key)
    }
    words = [f"{key}_{value}" for key, value in other.items()]
    name = "_".join([named, *words])
    are_plain = all(_PLAIN_WORD.fullmatch(str(value)) for value in other.values())
    if are_plain and len(name) <= _LONGEST_NAME:
        return name
    content = json.dumps(dict(method), sort_keys=True, default=str)
    return f"{named}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _called(part: Part) -> str:
    """A study in words, by what distinguishes it from the others."""
    words = [
        "labels" if part.labelled else "",
        "desks" if part.desks else "",
        f"rows-{part.train_rows}" if part.train_rows is not None else "",
        f"length-{part.max_length}" if part.max_length is not None else "",
        "" if part.tuned else "rates",
    ]
    return "-".join(filter(None, words)) or "main"


def _study_name(base: str, rest: str) -> str:
    """What a study on a base is called.

    Characters of the base's name that no study's may have become hyphens, and a long one is cut.
    Bases whose names are then alike have other hashes.

    Args:
        base: its reference. rest: what follows, with a hash of the reference.
    """
    named = _NOT_IN_NAMES.sub("-", Path(base).name).lstrip("._-") or "base"
    return f"{named[: _LONGEST_STUDY_NAME - 1 - len(rest)]}-{rest}"


def _baselines(parts: Collection[Part]) -> list[Any]:
    shots = any(part.shots for part in parts)
    return [UNTUNED, *([{FEW_SHOT: {"shots": list(_SHOTS)}}] if shots else [])]


def _asked_on(
    methods: Mapping[tuple[str, str], Mapping[str, str]], parts: Mapping[tuple[str, str], Part]
) -> dict[str, list[str]]:
    """By further test set the methods whose scores on it are read; prompts ask the untuned base."""
    found: dict[str, dict[str, None]] = {}
    for at, part in parts.items():
        for name in part.sets:
            found.setdefault(name, {}).update(dict.fromkeys(methods[at].values()))
        for i in range(1, len(PROMPTS) + 1) if part.prompts else ():
            found.setdefault(prompt_set(i), {})
    return {name: list(asked) for name, asked in found.items()}


def _study(key: str, group: _Group, size: Size, data: ClaimData) -> PlannedStudy:
    part = group.part
    there = min(size.train_rows, data.train_rows or size.train_rows)
    rows = min(part.train_rows or there, there)
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
    also = {
        name: {**_set(name, task, size, data), "methods": asked}
        for name, asked in _asked_on(group.names, group.parts).items()
    }
    protocol = {**data.protocol, "seeds": size.seeds, "epochs": size.epochs}
    if rows < there:
        # As many updates as with all rows; epochs of a few updates each say nothing of when to end.
        protocol["epochs"] = min(_MOST_EPOCHS, round(size.epochs * there / rows))
        protocol["patience"] = None
    name = _study_name(group.base.reference, f"{_called(part)}-{key}")
    search = {"learning_rates": size.rates, "growth": size.growth} if part.tuned else None
    mapping: dict[str, Any] = {
        "name": name,
        "base": group.base.reference,
        "task": task,
        "baselines": _baselines(group.parts.values()),
        "protocol": protocol,
        "methods": {n: dict(method) for n, method in group.methods.items()},
        "search": search,
        "also_test": also,
    }
    return PlannedStudy(
        name=name,
        base=group.base.reference,
        mapping=mapping,
        methods=group.names,
        parts=group.parts,
    )


def _set(name: str, task: Mapping[str, Any], size: Size, data: ClaimData) -> dict[str, Any]:
    """A further test set of a study."""
    if name == "corpus":
        assert data.corpus is not None
        return {"kind": "text", "source": {"test": data.corpus}, "text": "text", "max_length": 256}
    written = {prompt_set(i): template for i, template in enumerate(PROMPTS, start=1)}
    if name in written:
        source = data.prompts_source or task["source"]
        rows = {"source": source, "examples": {"test": size.test_rows}}
        return {**rows, "template": written[name]}
    assert data.desks is not None
    return {"source": {"test": data.desks[1][name]}, "examples": {"test": size.test_rows}}
