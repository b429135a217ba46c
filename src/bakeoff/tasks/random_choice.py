"""A choice at random, as a baseline."""

from __future__ import annotations

import numpy as np

from bakeoff.data.taskdata import SplitData
from bakeoff.metrics.contract import ModelOutputs
from bakeoff.tasks.contract import Baseline


def random_baseline(seed: int) -> Baseline:
    """One of each row's choices, all equally likely.

    Args:
        seed: of the draws; a split's first rows keep theirs where others follow.
    """

    def outputs(train: SplitData, part: SplitData) -> ModelOutputs:
        counts_N = np.array([len(expected.choices) for expected in part.expected], dtype=np.int64)
        share_N = np.random.default_rng(seed).random(len(part))
        return ModelOutputs(chosen_N=(share_N * counts_N).astype(np.int64))

    return Baseline(name="random", title="random", outputs=outputs)
