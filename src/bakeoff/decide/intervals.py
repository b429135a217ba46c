"""Bootstrap intervals over seeds and test examples.

Axis letters: S seeds, N test examples, B resamples (C of them in one chunk).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError, DataError

Floats = NDArray[np.float64]

# A chunk holds its random indices, their counts and the counts as floats: 24 bytes an element.
_CHUNK_ELEMENTS: Final = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and the bounds of its bootstrap interval, in the metric's own unit."""

    mean: float
    low: float
    high: float


def bootstrap_interval(
    scores_SN: np.ndarray,
    weights_SN: np.ndarray | None = None,
    *,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile interval by resampling seeds and test examples, both with replacement.

    All seeds of one resample share its draw of examples, as they share the test set. With one
    seed only examples are resampled: the interval then knows nothing of how much another seed
    would change the result. With few seeds it is somewhat narrow, as any percentile interval
    over few values; ``compare_methods`` corrects for that, so that verdicts come from there.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13.

    Args:
        scores_SN: [S, N] a score for each seed and test example.
        weights_SN: [S, N] numbers of tokens where ``scores_SN`` are sums over tokens; the
            statistic is then sum(scores) / sum(weights), otherwise the mean.
        resamples: how often to draw.
        level: coverage, between 0 and 1.
        seed: of the draws.

    Returns:
        The statistic of all scores and the interval's bounds. One example of one seed has an
        interval of no width.

    Raises:
        DataError: shapes that do not fit, no example, values that are not finite, or weights
            that are not positive.
        ConfigError: resamples or level out of range.
    """
    check_draws(resamples, level)
    scores_SN, weights_SN = checked_scores("scores", scores_SN, weights_SN)
    num_seeds, num_examples = scores_SN.shape
    rng = np.random.default_rng(seed)
    columns = np.concatenate([scores_SN, weights_SN]).T
    sums = np.concatenate(
        [counts_CN @ columns for counts_CN in example_draws(rng, resamples, num_examples)]
    )
    if num_seeds == 1:
        seeds_BS = np.ones((resamples, 1))
    else:
        chosen = rng.integers(0, num_seeds, size=(resamples, num_seeds))
        seeds_BS = (chosen[:, :, None] == np.arange(num_seeds)).sum(axis=1).astype(np.float64)
    draws = (sums[:, :num_seeds] * seeds_BS).sum(axis=1) / (sums[:, num_seeds:] * seeds_BS).sum(
        axis=1
    )
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(draws, [tail, 1.0 - tail])
    mean = float(scores_SN.sum() / weights_SN.sum())
    # Draws of equal scores differ from the mean by rounding only, and must not exclude it.
    return Interval(mean=mean, low=min(float(low), mean), high=max(float(high), mean))


def example_draws(rng: np.random.Generator, resamples: int, num_examples: int) -> Iterator[Floats]:
    """Counts of each example in resamples of N examples with replacement, in bounded chunks.

    Args:
        rng: the source of the draws; the chunks depend on it and on the sizes alone.
        resamples: rows over all chunks.
        num_examples: N.

    Yields:
        [C, N] counts as float64, each row summing to N; a chunk needs about 50 MB or one row.
    """
    rows = max(1, _CHUNK_ELEMENTS // num_examples)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        drawn_CN = rng.integers(0, num_examples, size=(size, num_examples))
        drawn_CN += np.arange(0, size * num_examples, num_examples)[:, None]
        counts = np.bincount(drawn_CN.ravel(), minlength=size * num_examples)
        del drawn_CN
        yield counts.reshape(size, num_examples).astype(np.float64)


def check_draws(resamples: int, level: float) -> None:
    """Raises ConfigError where the number of resamples or the level is out of range."""
    if resamples < 1:
        raise ConfigError(f"bootstrap: resamples is {resamples}; draw at least once, e.g. 10000")
    if not 0.0 < level < 1.0:
        raise ConfigError(f"bootstrap: level is {level}; use a share between 0 and 1, e.g. 0.95")


def checked_scores(
    name: str, scores_SN: np.ndarray, weights_SN: np.ndarray | None
) -> tuple[Floats, Floats]:
    """Scores and weights as float64 of one shape, checked.

    Args:
        name: what an error message calls the scores.
        scores_SN: [S, N].
        weights_SN: [S, N], or None for weights of one.

    Returns:
        [S, N] scores and [S, N] positive weights.

    Raises:
        DataError: as for ``bootstrap_interval``.
    """
    scores_SN = np.asarray(scores_SN, dtype=np.float64)
    if scores_SN.ndim != 2 or scores_SN.size == 0:
        raise DataError(
            f"bootstrap: {name} has shape {scores_SN.shape}; the rule is [seeds, examples], both "
            "at least 1"
        )
    weights_SN = (
        np.ones_like(scores_SN) if weights_SN is None else np.asarray(weights_SN, np.float64)
    )
    if weights_SN.shape != scores_SN.shape:
        raise DataError(
            f"bootstrap: the weights of {name} have shape {weights_SN.shape}, its scores "
            f"{scores_SN.shape}; pass one weight for each score"
        )
    for what, values_SN, broken_SN, rule in (
        (
            "score",
            scores_SN,
            ~np.isfinite(scores_SN),
            "finite; leave candidates that diverged out",
        ),
        (
            "weight",
            weights_SN,
            ~((weights_SN > 0.0) & np.isfinite(weights_SN)),
            "positive; leave examples without tokens out",
        ),
    ):
        if broken_SN.any():
            at_seed, at_example = (int(i) for i in np.argwhere(broken_SN)[0])
            raise DataError(
                f"bootstrap: the {what} of {name} at seed {at_seed}, example {at_example} is "
                f"{values_SN[at_seed, at_example]}, but must be {rule}"
            )
    return scores_SN, weights_SN
