"""Which claims of the literature figures and tables touch, and how each is tested on this base.

Names and sentences are those of ``bakeoff claims``, which this floor does not import; a test holds
them together. Everything is in the page itself, so that links work without a network and where
no one has tested a claim.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bakeoff.base.wire_bases.shapes import is_member
from bakeoff.page.figure import Figure
from bakeoff.report.load import Run
from bakeoff.runs.folder import CLAIMS_NOTE
from bakeoff.runs.records import MethodRecord, Results
from bakeoff.runs.settings import setting

_PAGE: Final = "../../claims.html"
"""Its page, from such a folder."""

TITLES: Final = {
    "scale_closes_gap": "The larger the base, the nearer a soft prompt comes to full tuning",
    "few_tokens_suffice": "A prompt of 5 or 20 tokens does what one of 100 does",
    "prompts_resist_shift": "A soft prompt loses less than full tuning where the data shift",
    "soft_beats_discrete": "A soft prompt beats the best of eight written prompts and of "
    "prompts with examples",
    "full_rank_lora_is_full": "LoRA whose rank is the width reaches what full tuning reaches",
    "adapters_cost_latency": "Bottleneck adapters make inference slower than merged LoRA, "
    "alone and in a batch",
    "prefix_is_not_monotone": "A prefix gets worse again beyond some length",
    "init_matters": "A soft prompt that starts at words ends better than one that starts at random",
    "rank_is_enough_at_8": "From a rank of 8 on, more rank brings nothing",
    "rate_of_lora_is_ten_times_full": "The best learning rate of LoRA is ten times that of full "
    "tuning",
    "mlp_matters_more_than_attention": "LoRA on the MLPs alone does better than on attention "
    "alone, at equal parameters",
    "merged_lora_is_free": "LoRA merged into the weights costs no time and changes no output",
    "prompts_cost_length": "The room that a soft prompt takes from the input costs quality",
    "variants_tie_when_tuned": "LoRA's variants reach the same when each has its own learning rate",
    "tuning_forgets": "LoRA forgets less than full tuning, for what it learns",
}

_OUTCOME: Final = ("tradeoff", "quality", "rows")
"""Groups of figures that show what methods reach."""
OTHER_SETS: Final = "also"
"""The page's section of other test sets, whose tables touch claims as figures do."""
_OVER_BASES: Final = ("scale_closes_gap",)
"""Those that take several bases."""
_OF_MADE_ARTICLES: Final = ("prompts_resist_shift", "tuning_forgets")
"""Those that know no other data."""
_Methods = Sequence[MethodRecord]


@dataclass(frozen=True, kw_only=True)
class TouchedClaim:
    """A claim that figures of a report touch.

    Attributes:
        command: what tests it; ``BASES`` and ``DATA`` stand for what only the reader knows.
        where: on which bases and data the command does, in words.
        page: where its verdict is, from the report; None where none is known of.
    """

    name: str
    title: str
    command: str
    where: str
    page: str | None


def _kinds(*wanted: str) -> Callable[[_Methods], bool]:
    return lambda methods: set(wanted) <= {one.kind for one in methods}


def _several(kind: str, option: str) -> Callable[[_Methods], bool]:
    """Whether methods of a kind differ in an option."""
    return lambda methods: (
        len({repr(one.options.get(option)) for one in methods if one.kind == kind}) > 1
    )


def _are_variants(methods: _Methods) -> bool:
    own = ("init", "rank_stabilised", "loraplus_lr_ratio")
    return _kinds("lora", "dora")(methods) or any(_several("lora", one)(methods) for one in own)


# By claim: the groups or names of figures, or that section, and what the study's methods must be.
_TOUCHES: Final[Mapping[str, tuple[tuple[str, ...], Callable[[_Methods], bool]]]] = {
    "scale_closes_gap": (_OUTCOME, _kinds("soft_prompt", "full")),
    "few_tokens_suffice": (_OUTCOME, _several("soft_prompt", "prompt_length")),
    "prompts_resist_shift": ((OTHER_SETS,), _kinds("soft_prompt", "full")),
    "soft_beats_discrete": (_OUTCOME, _kinds("soft_prompt")),
    "full_rank_lora_is_full": (_OUTCOME, _kinds("lora", "full")),
    "prefix_is_not_monotone": (_OUTCOME, _several("prefix", "prefix_length")),
    "init_matters": (_OUTCOME, _several("soft_prompt", "init")),
    "rank_is_enough_at_8": (_OUTCOME, _several("lora", "rank")),
    "mlp_matters_more_than_attention": (_OUTCOME, _several("lora", "target_modules")),
    "variants_tie_when_tuned": (_OUTCOME, _are_variants),
    "rate_of_lora_is_ten_times_full": (("learning_rate",), _kinds("lora", "full")),
    "adapters_cost_latency": (("latency",), _kinds("bottleneck")),
    "merged_lora_is_free": (("latency",), _kinds("lora")),
    "prompts_cost_length": (("latency", "peak_memory"), _kinds("soft_prompt")),
    "tuning_forgets": ((OTHER_SETS,), _kinds("lora", "full")),
}


def claims_by_place(results: Results, figures: Sequence[Figure]) -> dict[str, list[str]]:
    """The names of the claims that each figure touches, by its name, and ``OTHER_SETS``."""
    methods = list(results.methods.values())
    touched = {name: places for name, (places, is_met) in _TOUCHES.items() if is_met(methods)}
    # The corpus that the base was trained on is known of one family.
    if not is_member(str(setting(results.study, "base")), Path.cwd()):
        touched.pop("tuning_forgets", None)
    # Its eight prompts are written for summaries.
    if "few_shot" not in results.baselines or results.task.kind != "summarize":
        touched.pop("soft_beats_discrete", None)
    places_of = {figure.name: {figure.group, figure.name} for figure in figures}
    if results.also_test:
        places_of[OTHER_SETS] = {OTHER_SETS}
    found = {
        place: [name for name, places in touched.items() if names.intersection(places)]
        for place, names in places_of.items()
    }
    return {name: claims for name, claims in found.items() if claims}


def touched_claims(run: Run, by_place: Mapping[str, Sequence[str]]) -> list[TouchedClaim]:
    """What the page says of each claim that any of its figures or tables touches."""
    named = {claim for claims in by_place.values() for claim in claims}
    tested = _tested_beside(run)
    return [
        TouchedClaim(
            name=name,
            title=title,
            command=" ".join(["bakeoff claims", name, *_arguments(run.results, name)]),
            where=_where(_arguments(run.results, name)),
            page=f"{_PAGE}#{name}" if name in tested else None,
        )
        for name, title in TITLES.items()
        if name in named
    ]


def _tested_beside(run: Run) -> frozenset[str]:
    """The claims of the run of ``bakeoff claims`` that this study is part of."""
    note = run.folder.resolve().parent / CLAIMS_NOTE
    try:
        words = note.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError):
        return frozenset()
    return frozenset(words)


def _arguments(results: Results, claim: str) -> list[str]:
    """The study's base, or its family; and its data, as far as they have a name."""
    base, source = setting(results.study, "base"), setting(results.study, "task.source")
    found = ["--base", shlex.quote(str(base))] if base else []
    if claim in _OVER_BASES:
        found = ["--bases", "BASES"]
    if source == "wire" or claim in _OF_MADE_ARTICLES:
        return found
    return [*found, "--data", shlex.quote(source) if isinstance(source, str) else "DATA"]


def _where(arguments: Sequence[str]) -> str:
    """What a claim's command tests it on, in words."""
    found = "on this base"
    if "BASES" in arguments:
        found = "on the bases of one family, three or more of rising size, with commas between them"
    return f"{found}, with DATA the file or folder of these rows" if "DATA" in arguments else found
