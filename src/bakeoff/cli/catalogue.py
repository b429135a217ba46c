"""The list of methods: what each is, takes and can do, as their specs say it."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from bakeoff.config import to_mapping
from bakeoff.methods.registry import method_specs
from bakeoff.methods.specs.contract import SIZES, FileFormat, MethodSpec


def describe_methods(
    specs: Iterable[MethodSpec] | None = None, *, with_families: bool = True
) -> list[dict[str, Any]]:
    """Methods as plain mappings.

    Args:
        specs: of which methods; all of them without.
        with_families: also the options of each family, which may have to load a library.
    """
    described = []
    for spec in method_specs()[0].values() if specs is None else specs:
        families = spec.families() if with_families else {}
        described.append(
            {
                "kind": spec.kind,
                "title": spec.title,
                "paper": spec.paper,
                "parameters": spec.formula,
                "default_learning_rate": spec.default_learning_rate,
                "learning_rate_source": spec.learning_rate_source,
                "learning_rates_by_size": _rates(spec),
                "weight_decay": spec.weight_decay,
                "option_sources": dict(spec.option_sources),
                "stacked": not spec.trains_alone,
                "mergeable": spec.mergeable,
                "file_format": spec.file_format.value,
                "exportable": [
                    *(["peft"] if spec.file_format is FileFormat.PEFT else []),
                    *(["merged"] if spec.mergeable else []),
                ],
                "options": _options(spec.options_type),
                "families": {name: _options(kind) for name, kind in families.items()},
            }
        )
    return described


def _rates(spec: MethodSpec) -> dict[str, float]:
    """The default rates by the fewest parameters of a base, in billions."""
    edges = ("0", *(f"{edge / 1e9:g}" for edge in SIZES))
    return {edge: spec.rate_for(int(float(edge) * 1e9)) for edge in edges}


def _shown_rates(spec: MethodSpec) -> str:
    """The default rate, and where another begins."""
    parts = [f"{spec.default_learning_rate:g}"]
    for edge, rate in _rates(spec).items():
        if f"{rate:g}" != parts[-1].split(" ")[0]:
            parts.append(f"{rate:g} from {edge} billion parameters on")
    return ", ".join(parts)


def _options(options_type: type) -> dict[str, dict[str, Any]]:
    options = options_type()
    defaults = to_mapping(options)
    return {
        f.name: {"type": _type_name(f.type), "default": defaults[f.name]}
        for f in dataclasses.fields(options)
    }


def _type_name(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    return kind.__name__ if type(kind) is type else str(kind).replace("typing.", "")


def print_methods(
    console: Console,
    specs: Iterable[MethodSpec] | None = None,
    *,
    with_families: bool = False,
) -> None:
    """Prints methods with their options and their defaults.

    Args:
        console: where to.
        specs: of which methods; all of them without.
        with_families: also names the families of options, which may have to load a library.
    """
    specs = list(method_specs()[0].values() if specs is None else specs)
    described = describe_methods(specs, with_families=with_families)
    for spec, method in zip(specs, described, strict=True):
        kind = spec.kind
        # A long title goes on below, indented as what belongs to the method.
        first, *rest = textwrap.wrap(f"{kind}: {spec.title}", console.width - 2)
        console.print(f"[bold]{kind}[/]{escape(first[len(kind) :])}", highlight=False)
        lines = [
            *rest,
            f"{spec.paper}; parameters: {spec.formula}",
            _abilities(method),
            f"learning_rate: {_shown_rates(spec)}  ({spec.learning_rate_source})",
            f"weight_decay: {spec.weight_decay:g}  (none where training starts at the base)"
            if not spec.weight_decay
            else f"weight_decay: {spec.weight_decay:g}  (AdamW's default, for the base's weights)",
        ]
        for name, option in method["options"].items():
            source = spec.option_sources.get(name)
            why = "" if source is None else f"; {source}"
            lines.append(f"{name}: {json.dumps(option['default'])}  ({option['type']}{why})")
        if method["families"]:
            lines.append(
                f"{spec.family_option} is one of {', '.join(method['families'])}; each has options "
                "of its own, which --json lists"
            )
        elif spec.family_option is not None:
            lines.append(
                f"further options depend on {spec.family_option}: bakeoff methods {kind} names "
                "its values, and --json their options"
            )
        for line in lines:
            console.print(Padding(escape(line), (0, 0, 0, 2)), highlight=False)


def _abilities(method: dict[str, Any]) -> str:
    trains = "many in one pass" if method["stacked"] else "alone, over a base of its own"
    ways = " or ".join(f"--to {way}" for way in method["exportable"])
    export = f"; exported {ways}" if ways else ""
    return f"trains {trains}; kept in files of {method['file_format']}{export}"
