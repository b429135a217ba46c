"""The options that methods start with, by the base's size, with sources."""

from __future__ import annotations

from typing import Any, Final

from bakeoff.config import to_mapping
from bakeoff.methods.registry import spec_of
from bakeoff.tasks.starting import StartingValues

DEFAULT_METHODS: Final = ("lora", "soft_prompt")


def method_values(
    kind: str, parameters: int, starting: StartingValues
) -> tuple[dict[str, Any], str]:
    """A method's entry in a study, and where its values come from.

    Args:
        kind: of the method. parameters: of the base. starting: of the kind of task.

    Raises:
        ConfigError: there is no such method.
    """
    spec = spec_of(kind, where="--methods")
    options = to_mapping(spec.read_options({}))
    entry: dict[str, Any] = {"kind": kind}
    for key in spec.option_sources:
        value = (
            getattr(starting, spec.options_of_task[key])
            if key in spec.options_of_task
            else (options[key])
        )
        if value is not None:
            entry[key] = value
    entry["learning_rate"] = spec.rate_for(parameters)
    return entry, spec.learning_rate_source
