"""The claims as ``bakeoff claims --list`` shows them, before anything is run."""

from __future__ import annotations

from typing import Final

from bakeoff.claims.contract import BaseFacts, Claim, Part, Size
from bakeoff.claims.estimates import Reach
from bakeoff.claims.planning import ClaimData, fitted
from bakeoff.claims.simulation import planned_reach
from bakeoff.formatting import counted, shown_whole

_SHAPE: Final = {
    "attn.attention.q_proj": (128, 128),
    "attn.attention.k_proj": (128, 128),
    "attn.attention.v_proj": (128, 128),
    "attn.attention.out_proj": (128, 128),
    "mlp.c_fc": (128, 512),
    "mlp.c_proj": (512, 128),
}
NOMINAL: Final = BaseFacts(
    reference="tiny",
    parameters=1_120_000,
    width=128,
    positions=512,
    linears=_SHAPE,
    room=256,
    learnt=256,
)
"""The shipped base, by whose shape designs are shown before a base is loaded."""


def design_words(
    claim: Claim, size: Size, facts: BaseFacts = NOMINAL, data: ClaimData | None = None
) -> str:
    """What a claim's design trains and measures, in a sentence.

    Args:
        facts: of a base. data: that it learns; None has as many rows and labels as it asks for.
    """
    parts = claim.design(facts, size)
    if data is not None:
        parts = tuple(fitted(part, data) for part in parts)
        size = data.filled(size)
    said = [part_words(part, size) for part in parts]
    if claim.repeats == "rounds":
        said.append(f"times {size.rounds} rounds in turns")
    if claim.repeats == "matrices":
        said.append("computes the singular values of every linear layer of the base")
    if claim.over_bases:
        said.append("on each base of the family, at least three")
    return "; ".join(said)


def part_words(part: Part, size: Size) -> str:
    """One training part in words."""
    names = ", ".join(part.entrants)
    rows = min(part.train_rows or size.train_rows, size.train_rows)
    tried = (
        f"tries {counted(size.rates, 'learning rate', 'learning rates')} of each, and tests"
        if part.tuned
        else "tests"
    )
    trainings = len(part.entrants) * (size.seeds + (size.rates if part.tuned else 0))
    cut = "" if part.max_length is None else f" of at most {part.max_length} tokens"
    # With fewer rows there are more epochs, so that all trainings see as many.
    seen = size.train_rows * size.epochs
    return (
        f"trains {names} on {shown_whole(rows)} rows{cut}, {tried} {size.seeds} seeds of each on "
        f"{shown_whole(size.test_rows)} rows (some {counted(trainings, 'training', 'trainings')} "
        f"that see {shown_whole(seen)} rows each)"
    )


def listed(claim: Claim, size: Size, *, family: int) -> list[tuple[str, str]]:
    """A claim's lines: what each is, and what it says.

    Args:
        family: claims of the run that the smallest effect is corrected for.
    """
    return [
        ("source", claim.source),
        ("hypothesis", claim.hypothesis),
        ("supported if", claim.supported_if),
        ("contradicted if", claim.contradicted_if),
        ("costs", design_words(claim, size)),
        ("finds", finds_words(planned_reach(claim, size, family=family), claim)),
        ("does not show", claim.does_not_show),
    ]


def finds_words(reach: Reach | None, claim: Claim) -> str:
    """What a design finds, before it is run; None where that is not known."""
    if reach is None:
        return "what, is not known: its planted world does not say"
    if_so = f"if {claim.repeats} vary as was assumed before anything was measured"
    if (beyond := beyond_margin(reach, claim)) is not None:
        return f"{beyond}, {if_so}"
    near = f"an effect that is {reach.effect:.2g} {claim.unit} from its margin"
    return f"with 80 % probability {near}, {if_so}"


def beyond_margin(reach: Reach | None, claim: Claim) -> str | None:
    """That equivalence within a claim's margin is more than its design finds; None if it is not."""
    if reach is None or reach.margin is None:
        return None
    margin = min(c.threshold for c in claim.contrasts if c.rule == "within")
    return (
        f"with 80 % probability no equivalence within ±{margin:g}, even of an effect of 0: the "
        f"margin would have to be {reach.margin:.2g} {claim.unit}"
    )
