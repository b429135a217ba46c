"""A base whose outputs are no finite numbers, and the first of its parts where they start."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn

from bakeoff.errors import BaseModelError

_SHOWN: Final = 3


def check_finite(
    reference: str,
    model: nn.Module,
    run: Callable[[], Tensor],
    where: str,
    *,
    found: Tensor | None = None,
) -> None:
    """Refuses a base whose outputs on some tokens are not all finite.

    Args:
        reference: how the error names the base. model: whose parts are looked at.
        run: computes the outputs. where: on which tokens, for the error.
        found: what ``run`` gave already.

    Raises:
        BaseModelError: naming the first part, in the order of computation, whose output is not
            finite though its inputs are, or weights that are not.
    """
    with torch.no_grad():
        if is_finite(run() if found is None else found):
            return
        with _first_fault(model) as places:
            run()
    bad = [name for name, weight in model.named_parameters() if not is_finite(weight)]
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        why = f"weights that are not finite are in {', '.join(bad[:_SHOWN])}{more}"
        remedy = "get its files again, or choose another base"
    else:
        why = "its weights are finite, so the numbers grow beyond what their type holds"
        remedy = "set precision: float32, or choose another base"
    place = places[0] if places else "in its logits"
    raise BaseModelError(
        f"{reference}: its outputs on {where} are not finite numbers, which starts {place}; "
        f"{why}. Nothing can be learnt or scored with it: {remedy}"
    )


def is_finite(values: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    return bool(torch.isfinite(values).all())


@contextlib.contextmanager
def _first_fault(model: nn.Module) -> Iterator[list[str]]:
    """Watches every part; a part ends after those within it, so that the innermost is named."""
    found: list[str] = []
    hooks = []

    def watch(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if not found and any(not is_finite(one) for one in _tensors(output)):
                found.append(f"in {name or 'the model'} ({type(module).__name__})")

        hooks.append(module.register_forward_hook(hook))

    for name, module in model.named_modules():
        watch(name, module)
    try:
        yield found
    finally:
        for one in hooks:
            one.remove()


def _tensors(output: Any) -> Iterator[Tensor]:
    """The floating-point tensors of a part's output."""
    if isinstance(output, Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, tuple | list):
        for one in output:
            yield from _tensors(one)
    elif isinstance(output, dict):
        for one in output.values():
            yield from _tensors(one)
