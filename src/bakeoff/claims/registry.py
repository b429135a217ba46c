"""The only place that maps a claim's name to its file, which is imported when it is asked for.

A claim comes from here, from ``register_claim``, or from an installed package that has an entry
point in the group ``bakeoff.claims``: a ``Claim``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from bakeoff.claims.contract import Claim
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import check_name
from bakeoff.plugins import Plugins

OF_THE_SEED: Final = (
    "scale_closes_gap",
    "few_tokens_suffice",
    "prompts_resist_shift",
    "soft_beats_discrete",
    "update_is_low_rank",
    "full_rank_lora_is_full",
    "adapters_cost_latency",
    "subtracting_gives_the_base_back",
    "prefix_is_not_monotone",
)
"""The claims of the document that bakeoff began with; they come first."""
BUILT_IN: Final = (
    *OF_THE_SEED,
    "weights_are_low_rank",
    "init_matters",
    "rank_is_enough_at_8",
    "rate_of_lora_is_ten_times_full",
    "mlp_matters_more_than_attention",
    "merged_lora_is_free",
    "prompts_cost_length",
    "variants_tie_when_tuned",
    "tuning_forgets",
)
"""What bakeoff itself brings, each in a file of its name."""

_plugins = Plugins("bakeoff.claims", "claim", BUILT_IN)
_registered: dict[str, Claim] = {}


def claim_names() -> tuple[str, ...]:
    """All that ``claim_named`` knows: built in, registered, and of installed packages."""
    return tuple(dict.fromkeys((*BUILT_IN, *_registered, *_plugins.points)))


def claim_named(name: str) -> Claim:
    """The claim of that name.

    Raises:
        ConfigError: there is none, its package cannot be imported, or the name of a package's claim
            cannot name a file.
    """
    if name in BUILT_IN:
        found: Claim = importlib.import_module(f"bakeoff.claims.{name}").CLAIM
        return found
    if name in _registered:
        return _registered[name]
    if name not in _plugins.points:
        known = claim_names()
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(
            f"bakeoff claims: {name!r} is not a claim{hint} Known: {', '.join(known)}"
        )
    check_name("bakeoff claims", name)
    loaded = _plugins.load(name, where="bakeoff claims")
    if not isinstance(loaded, Claim) or loaded.name != name:
        raise _plugins.unfit(
            name, "is no bakeoff.claims.Claim of that name", where="bakeoff claims"
        )
    return loaded


def claims_named(
    names: Sequence[str],
    *,
    quick: bool = False,
    left_out: Callable[[str], None] = lambda text: None,
) -> dict[str, Claim]:
    """The claims of a run, each once.

    Args:
        names: as asked for; none takes all, or those of ``--quick``.
        quick: whether the run is a quick one.
        left_out: called with a sentence on each package's claim that no one named and that cannot
            be imported.

    Raises:
        ConfigError: a name is not a claim, or its package cannot be imported.
    """
    if names:
        return {name: claim_named(name) for name in names}
    found = all_claims(claim_names(), left_out)
    return {name: claim for name, claim in found.items() if claim.quick or not quick}


def all_claims(names: Iterable[str], left_out: Callable[[str], None]) -> dict[str, Claim]:
    """The claims of these names that can be imported.

    Args:
        left_out: called with a sentence on each of the others.
    """
    found: dict[str, Claim] = {}
    for name in names:
        try:
            found[name] = claim_named(name)
        except ConfigError as error:
            left_out(f"{name} is left out: {error}")
    return found


def register_claim(claim: Claim) -> None:
    """Adds a claim for this process.

    Raises:
        ConfigError: its name is taken, or cannot name a file.
    """
    if not isinstance(claim, Claim):
        raise ConfigError(f"register_claim({claim!r}): give a bakeoff.claims.Claim")
    check_name("register_claim", claim.name)
    if claim.name in claim_names():
        raise ConfigError(f"register_claim: {claim.name!r} is a claim already; choose another name")
    _registered[claim.name] = claim
