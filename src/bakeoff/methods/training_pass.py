"""The position of training, given to the stacks per thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TrainingPass:
    """The position of training in one pass, for what each pass draws again, such as dropout.

    What a slot draws follows from these and from nothing else, so that neither its neighbours nor
    the size of a micro-batch nor an interruption change it.

    Attributes:
        seed_K: [K] int64, of each slot's candidate.
        update_K: [K] int64, updates that each slot has made.
        first_row: [] int64 on the device, rows of this update that each slot has passed before: a
            number of the host would be part of a captured pass, and one capture serve one place.
        num_rows: B, rows of each slot in this pass.
    """

    seed_K: Tensor
    update_K: Tensor
    first_row: Tensor
    num_rows: int


_present = threading.local()


def present_training() -> TrainingPass | None:
    """The training pass that this thread is in."""
    return getattr(_present, "training", None)


@contextmanager
def training_pass(now: TrainingPass) -> Iterator[None]:
    """Makes ``now`` what the stacks see as ``training`` in this thread."""
    _present.training = now
    try:
        yield
    finally:
        _present.training = None
