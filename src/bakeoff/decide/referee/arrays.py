"""The scores, weights and groups that are handed to ``compare``, checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.decide.referee import wording
from bakeoff.decide.referee.influence import Floats, sum_groups
from bakeoff.errors import DataError

# Below this effective number of weights, a ratio is too far from normal.
MIN_EFFECTIVE_WEIGHTS = 20.0

Weights = ArrayLike | Mapping[str, ArrayLike]


def checked_arrays(
    scores: Mapping[str, ArrayLike], weights: Weights | None, groups: ArrayLike | None
) -> dict[str, tuple[Floats, Floats | None]]:
    """Scores and weights [S, N] of each method, summed by group where there are groups.

    Raises:
        DataError: what is missing, of a wrong shape or not finite.
    """
    if not isinstance(scores, Mapping):
        raise DataError(
            f"compare: scores is a {type(scores).__name__}; give a mapping from a method's name to "
            "its array [S, N]"
        )
    if strange := [name for name in scores if not isinstance(name, str)]:
        raise DataError(f"compare: scores has the key {strange[0]!r}; name each method by a text")
    if not scores:
        raise DataError("compare: scores is empty; give an array [S, N] for each method")
    arrays = {name: _matrix(f"scores[{name!r}]", values) for name, values in scores.items()}
    sizes = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(
            f"compare: the numbers of rows differ ({sizes}); every method needs the same rows in "
            "the same order"
        )
    num_rows = next(iter(sizes.values()))
    inverse, num_groups = group_indices(groups, num_rows)
    if num_groups < 2:
        what = "row" if groups is None else "group"
        raise DataError(f"compare: one {what} says nothing of spread; give at least 2")
    found: dict[str, tuple[Floats, Floats | None]] = {}
    for name, array in arrays.items():
        counts = _weights(name, weights, array.shape)
        if inverse is not None:
            counts = np.ones_like(array) if counts is None else counts
            array = sum_groups(array, inverse, num_groups)
            counts = sum_groups(counts, inverse, num_groups)
        found[name] = array, counts
    return found


def uneven_weights(
    arrays: Mapping[str, tuple[Floats, Floats | None]], has_weights: bool
) -> list[str]:
    """A warning where weights, or groups of very different sizes, count as few equal ones."""
    low = {
        name: number
        for name, (_, weights) in arrays.items()
        if weights is not None
        and (number := effective_number(weights)) < fewest_effective(weights.shape[-1])
    }
    return warnings_of_weights(low, len(arrays), has_weights=has_weights)


def fewest_effective(num_rows: int) -> float:
    """From how many equal weights on, rows are not uneven: few are few, whatever they weigh."""
    return min(MIN_EFFECTIVE_WEIGHTS, 0.9 * num_rows)


def warnings_of_weights(
    low: Mapping[str, float], num_methods: int, *, has_weights: bool
) -> list[str]:
    """Args:
    low: the effective number of weights of methods that have few. num_methods: in all.
    has_weights: whether they are weights, else sizes of groups.
    """
    if not has_weights or (len(low) == num_methods and len(set(low.values())) == 1):
        what = "the weights" if has_weights else "the sizes of the groups"
        return [wording.few_weights(what, number) for number in set(low.values())]
    return [wording.few_weights(f"the weights of {name}", number) for name, number in low.items()]


def effective_number(weights: Floats) -> float:
    """(sum of w)^2 / sum of w^2 of the seed that has least. [S, N]"""
    return float((weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)).min())


def _matrix(place: str, values: ArrayLike) -> Floats:
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"compare: {place} is not an array ({error}); give [S, N], the same rows for every seed"
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"compare: {place} holds {array.dtype}, not numbers; give [S, N]")
    if array.ndim == 1:
        array = array[None, :]
    if array.ndim != 2 or array.size == 0:
        raise DataError(
            f"compare: {place} has the shape {list(array.shape)}; give [S, N] with a seed in each "
            "line and a test row in each column, or [N] for one seed"
        )
    array = array.astype(np.float64)
    if not (finite := np.isfinite(array)).all():
        seed, row = np.argwhere(~finite)[0].tolist()
        raise DataError(
            f"compare: {place} is {array[seed, row]} at seed {seed}, row {row}; every score must "
            "be finite: leave that row out for all methods, or that seed out"
        )
    return array


def _weights(name: str, weights: Weights | None, shape: tuple[int, ...]) -> Floats | None:
    if weights is None:
        return None
    place, own = "weights", weights
    if isinstance(weights, Mapping):
        place = f"weights[{name!r}]"
        if name not in weights:
            raise DataError(f"compare: {place} is missing; give weights for every method, or [N]")
        own = weights[name]
    array = _matrix(place, own)  # type: ignore[arg-type]
    if array.shape[1] != shape[1] or array.shape[0] not in (1, shape[0]):
        raise DataError(
            f"compare: {place} has the shape {list(array.shape)} where the scores of {name!r} have "
            f"{list(shape)}; give [N] or the same shape"
        )
    if (array <= 0.0).any():
        seed, row = np.argwhere(array <= 0.0)[0].tolist()
        raise DataError(
            f"compare: {place} is {array[seed, row]} at seed {seed}, row {row}; weights must be "
            "above zero: leave rows that count nothing out"
        )
    return np.broadcast_to(array, shape)


def group_indices(groups: ArrayLike | None, num_rows: int) -> tuple[NDArray[np.intp] | None, int]:
    """[N] the number of each row's group, and how many there are; None where rows stand alone.

    Raises:
        DataError: as many labels as rows are needed, and none may be missing.
    """
    if groups is None:
        return None, num_rows
    labels = np.asarray(groups)
    if labels.shape != (num_rows,):
        raise DataError(
            f"compare: groups has the shape {list(labels.shape)}; give one label for each of the "
            f"{num_rows} rows"
        )
    if labels.dtype.kind == "O":
        # Labels of mixed kinds cannot be sorted; their order does not matter.
        seen: dict[object, int] = {}
        if any(label is None or label != label for label in labels.tolist()):
            raise DataError("compare: groups holds a missing label; give one for every row")
        inverse = np.array([seen.setdefault(label, len(seen)) for label in labels.tolist()])
        return inverse, len(seen)
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise DataError("compare: groups holds a missing label; give one for every row")
    values, inverse = np.unique(labels, return_inverse=True)
    return inverse, len(values)
