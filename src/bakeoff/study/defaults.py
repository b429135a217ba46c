"""What a study leaves out and its task's kind, or the size of its base, decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bakeoff.base.weights.references import SMOLLM2_REFERENCE, TINY_REFERENCE
from bakeoff.base.wire_bases.shapes import FAMILY
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.options import ProtocolOptions
from bakeoff.errors import BakeoffError
from bakeoff.files import cache_folder
from bakeoff.methods.registry import method_kinds, spec_of
from bakeoff.metrics.contract import Ask
from bakeoff.tasks.contract import Task
from bakeoff.tasks.starting import StartingValues


def protocol_for(
    starting: StartingValues, protocol: ProtocolOptions, given: Mapping[str, Any]
) -> ProtocolOptions:
    """The protocol with what the task's kind decides.

    Args:
        starting: the kind's. protocol: as checked.
        given: the study's own section, whose keys stay as they are. Of micro-batches and their
            number, one alone decides the other, so that an update has the kind's rows.
    """
    rows = starting.rows
    micro, steps = protocol.micro_batch_size, protocol.grad_accum_steps
    if "micro_batch_size" not in given:
        micro = max(1, min(micro, rows // (steps if "grad_accum_steps" in given else 1)))
    if "grad_accum_steps" not in given:
        steps = max(1, rows // micro)
    epochs = protocol.epochs if "epochs" in given else starting.epochs
    return replace(protocol, epochs=epochs, micro_batch_size=micro, grad_accum_steps=steps)


def generation_for(
    task: Task, generation: GenerationOptions, given: Mapping[str, Any]
) -> GenerationOptions:
    """How answers are written, with what the task decides.

    A summary repeats nothing; an answer in numbers, in code or in labels may have to. What is kept
    free for an answer is also what may be written.

    Args:
        task: as checked. generation: likewise. given: the study's own section, whose keys stay as
            they are.
    """
    found: dict[str, Any] = {}
    if "no_repeat_ngram" not in given:
        found["no_repeat_ngram"] = task.starting.no_repeat_ngram
    if "max_new_tokens" not in given and (task.has_free_answers or Ask.TEXT in task.asks):
        found["max_new_tokens"] = task.options.max_target_tokens
    return replace(generation, **found)


def parameters_for(
    methods: Mapping[str, Mapping[str, Any]],
    base: str,
    *,
    revision: str | None,
    trust_remote_code: bool,
) -> int | None:
    """Parameters of a study's base, counted from its shapes; None where no rate depends on them.

    Also None where the base is not to be had, as its loading will say.

    Args:
        methods: as the study gives them. base, revision, trust_remote_code: likewise.
    """
    is_small = base in (TINY_REFERENCE, SMOLLM2_REFERENCE, *FAMILY)
    if is_small or not any(_follows_size(name, given) for name, given in methods.items()):
        return None
    from bakeoff.base.weights.sources import load_source  # loads PyTorch

    try:
        source = load_source(
            base,
            root=Path.cwd(),
            cache_dir=cache_folder(),
            trust_remote_code=trust_remote_code,
            revision=revision,
            meta=True,
        )
    except BakeoffError:
        return None
    return int(source.model.num_parameters())


def _follows_size(name: str, given: Mapping[str, Any]) -> bool:
    """Whether a method's rate is left to a default that depends on the size of the base."""
    kind = given.get("kind", name)
    if isinstance(given.get("learning_rate"), int | float) or kind not in method_kinds():
        return False
    return spec_of(kind, where=f"methods.{name}.kind").rates_by_size is not None
