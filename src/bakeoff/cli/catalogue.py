"""The list of methods: what each is, takes and can do, as the methods themselves say it."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from bakeoff.config import to_mapping
from bakeoff.methods.contract import FileFormat
from bakeoff.methods.registry import METHODS


def describe_methods() -> list[dict[str, Any]]:
    """Every method as a plain mapping."""
    described = []
    for kind, (method, stack) in METHODS.items():
        described.append(
            {
                "kind": kind,
                "title": method.title,
                "paper": method.paper,
                "parameters": method.formula,
                "default_learning_rate": method.default_learning_rate,
                "learning_rate_source": method.learning_rate_source,
                "stacked": not stack.trains_alone,
                "mergeable": method.is_mergeable(),
                "file_format": method.file_format.value,
                "exportable": [
                    *(["peft"] if method.file_format is FileFormat.PEFT else []),
                    *(["merged"] if method.is_mergeable() else []),
                ],
                "options": _options(method.options_type),
                "families": {name: _options(kind) for name, kind in method.families().items()},
            }
        )
    return described


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


def print_methods(console: Console) -> None:
    """Prints every method with its options and their defaults."""
    for method in describe_methods():
        kind = method["kind"]
        # A long title goes on below, indented as what belongs to the method.
        first, *rest = textwrap.wrap(f"{kind}: {method['title']}", console.width - 2)
        console.print(f"[bold]{kind}[/]{escape(first[len(kind) :])}", highlight=False)
        lines = [
            *rest,
            f"{method['paper']}; parameters: {method['parameters']}",
            _abilities(method),
            f"learning_rate: {method['default_learning_rate']:g}  "
            f"({method['learning_rate_source']})",
        ]
        for name, option in method["options"].items():
            lines.append(f"{name}: {json.dumps(option['default'])}  ({option['type']})")
        if method["families"]:
            first = next(iter(method["options"]))
            lines.append(
                f"{first} is one of {', '.join(method['families'])}; each has options of its own, "
                "which --json lists"
            )
        for line in lines:
            console.print(Padding(escape(line), (0, 0, 0, 2)), highlight=False)


def _abilities(method: dict[str, Any]) -> str:
    trains = "many in one pass" if method["stacked"] else "alone, over a base of its own"
    ways = " or ".join(f"--to {way}" for way in method["exportable"])
    export = f"; exported {ways}" if ways else ""
    return f"trains {trains}; kept in files of {method['file_format']}{export}"
