"""The sizes of a study's learning curve, as they are given."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.errors import ConfigError


def sorted_sizes(given: Sequence[int]) -> tuple[int, ...]:
    """Numbers of training rows, ascending, whatever order they are given in.

    Raises:
        ConfigError: for one below 1, or one that is given twice.
    """
    for size in given:
        if size < 1:
            raise ConfigError(
                f"learning_curve: {size} is no number of training rows; give whole numbers of 1 or "
                "more, such as [64, 256, 1024]"
            )
    if len(set(given)) < len(given):
        raise ConfigError(f"learning_curve: {list(given)} names a size twice; name each once")
    return tuple(sorted(given))
