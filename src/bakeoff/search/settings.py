"""The settings that a study's searches begin with, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from bakeoff.config import from_mapping, to_mapping
from bakeoff.config.other_names import called_here
from bakeoff.engine.options import SEARCHED_OF_PROTOCOL, ProtocolOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import MethodEntry
from bakeoff.methods.variants import Variant
from bakeoff.runs.records import CandidateSpec
from bakeoff.search.options import SearchOptions
from bakeoff.search.rounds import first_specs
from bakeoff.search.space import LEARNING_RATE, option_names, space_of


def searched_entries(
    entries: Sequence[MethodEntry], search: SearchOptions, protocol: ProtocolOptions
) -> tuple[MethodEntry, ...]:
    """The study's methods with a variant for each combination of options that is tried.

    Raises:
        ConfigError: a key of ``search.space`` that no method has, a value that an option does not
            take, or more combinations than trials.
    """
    _check_keys(entries, search)
    if "epochs" in search.space and search.pruner is not None:
        raise ConfigError(
            "search.space.epochs: candidates that train for different numbers of epochs cannot be "
            "compared before their ends; set search.pruner to null, or fix protocol.epochs"
        )
    return tuple(_searched(entry, search, protocol) for entry in entries)


def _check_keys(entries: Sequence[MethodEntry], search: SearchOptions) -> None:
    known = {LEARNING_RATE, *SEARCHED_OF_PROTOCOL}.union(*map(option_names, entries))
    for key in search.space:
        if key not in known:
            near = called_here(key, known) or get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"search.space.{key}: no method of this study has such an option; {hint}"
                f"Known are {', '.join(sorted(known))}"
            )


def _searched(entry: MethodEntry, search: SearchOptions, protocol: ProtocolOptions) -> MethodEntry:
    found: dict[str, CandidateSpec] = {}
    for spec in first_specs(space_of(entry, search, seed=protocol.search_seed)):
        found.setdefault(spec.variant, spec)
    variants = tuple(_variant(entry, spec, protocol) for spec in found.values())
    return replace(entry, variants=variants)


def _variant(entry: MethodEntry, spec: CandidateSpec, protocol: ProtocolOptions) -> Variant:
    names = option_names(entry)
    own = {key: value for key, value in spec.options.items() if key in names}
    shared = {key: value for key, value in spec.options.items() if key not in names}
    try:
        from_mapping(ProtocolOptions, {**to_mapping(protocol), **shared}, path="protocol")
        options = entry.spec.read_options({**entry.given, **own}, path=f"methods.{entry.name}")
    except ConfigError as error:
        # Lists of the study's own have been checked under their own place.
        raise ConfigError(f"search.space: {error}") from None
    return Variant(label=spec.variant, options=options, searched=dict(spec.options))
