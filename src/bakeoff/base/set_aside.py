"""Bases whose weights leave the card for a while, so that another process has their room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from bakeoff.base.model import Base
from bakeoff.memory import available_bytes


@contextmanager
def set_aside(bases: Iterable[Base]) -> Iterator[None]:
    """Has the weights of bases that are on a GPU on the CPU inside; nothing may compute with them.

    A base that the machine's memory does not hold stays where it is, and so does a sharded one.
    """
    moved: list[tuple[Base, list[tuple[Tensor, Tensor]]]] = []
    try:
        for base in bases:
            if base.device.type == "cuda" and not base.is_sharded:
                # The process that gets the room loads the same weights into memory first.
                if 2 * base.held_bytes > available_bytes():
                    continue
                moved.append((base, []))
                for tensor in _tensors(base):
                    on_cpu = tensor.data.to("cpu")
                    tensor.data = on_cpu
                    moved[-1][1].append((tensor, on_cpu))
        yield
    finally:
        for base, tensors in moved:
            for tensor, on_cpu in tensors:
                tensor.data = on_cpu.to(base.device)


def _tensors(base: Base) -> list[Tensor]:
    """Each parameter and buffer on the base's device, once."""
    every = [*base.model.parameters(), *base.model.buffers()]
    return list({id(t): t for t in every if t.device.type == base.device.type}.values())
