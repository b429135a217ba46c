"""What becomes of a capture that fails, and who follows what capturing takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bakeoff.base.model import Base
from bakeoff.engine.backends.memory import is_out_of_memory

Note = Callable[[str], None]
"""Called with a sentence that the report must show."""
_LONGEST_REASON = 200


class StepTimer:
    """Follows the steps of generation; this one takes no notice."""

    def step(self) -> None:
        """A step begins: the first one reads the prompts, each later one writes a token."""

    @contextmanager
    def start_up(self) -> Iterator[None]:
        """What happens inside is done once for many steps: warming up, and capturing."""
        yield


def give_up_capturing(base: Base, error: RuntimeError, note: Note | None) -> None:
    """Takes a failed capture as the base's own: nothing over it is captured from now on.

    A base may ask the device for something in every pass, such as the largest position where its
    rotary embeddings grow with the length. That works, and no graph can hold it.

    Args:
        base: whose passes failed to be captured. error: how.
        note: called with a sentence the first time; None reports nothing.

    Raises:
        RuntimeError: ``error`` itself where memory ran out, which a smaller batch may help.
    """
    if is_out_of_memory(error):
        raise error
    if base.may_capture and note is not None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:_LONGEST_REASON]
        note(
            f"{base.source.reference} cannot be captured in CUDA graphs ({reason}); its steps run "
            "uncaptured, which is slower and computes the same. engine.cuda_graph: false leaves "
            "the attempt out"
        )
    base.may_capture = False
