"""What makes a cohort's passes quicker or smaller, as the options say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from bakeoff.base.compiled import compiled_layers
from bakeoff.base.devices import kind_of, present_profile
from bakeoff.engine.backends.capture import Note, give_up_capturing
from bakeoff.engine.backends.cuda_graphs import StepGraphs
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.options import EngineOptions
from bakeoff.engine.recompute import recomputed_layers


@contextmanager
def accelerated(
    cohort: Cohort, longest: int, options: EngineOptions, note: Note | None = None
) -> Iterator[StepGraphs | None]:
    """Compiles and recomputes layers for as long as the context lasts.

    Compiled are the layers of a frozen base, with the methods' hooks or around them; captured is an
    update that asks the device for nothing.

    Args:
        cohort: entered.
        longest: tokens of the longest row, prompts and prefixes not counted.
        options: how.
        note: called with a sentence if updates turn out not to be capturable.

    Yields:
        What captures updates, or None where they run as they are.
    """
    base = cohort.base
    on_gpu = kind_of(base.device) == "cuda"
    # A trace sees operations one by one.
    is_traced = present_profile() is not None
    compiles = (
        not is_traced
        # What PyTorch meets under a mode that watches operations, it never compiles from then on.
        and not is_in_torch_dispatch_mode()
        and not base.is_sharded
        and options.compiles_on(kind_of(base.device))
    )
    captures = (
        on_gpu and not base.is_sharded and options.cuda_graph is not False and base.may_capture
    )
    with ExitStack() as stack:
        if options.recomputes:
            stack.enter_context(recomputed_layers(base))
        if compiles and not cohort.trains_base:
            stack.enter_context(compiled_layers(base, longest + cohort.added_positions))
        if captures and cohort.is_capturable:
            yield StepGraphs(
                capture=not is_traced, failed=lambda error: give_up_capturing(base, error, note)
            )
        else:
            yield None
