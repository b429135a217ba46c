"""From a study's records to what a claim's statistic reads.

Losses are sums of nats over sums of tokens, of all test rows and with each block of rows left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from bakeoff.claims.contract import Floats
from bakeoff.errors import StoreError
from bakeoff.runs.arrays import read_arrays
from bakeoff.runs.reading import read_results
from bakeoff.runs.records import Results

BLOCKS: Final = 20
"""Of test rows, left out one at a time; a row's place modulo this is its block."""
_METRIC: Final = "nll"


@dataclass
class Measured:
    """Values by condition, of all rows and without each block of them."""

    values: dict[str, Floats] = field(default_factory=dict)
    without: list[dict[str, Floats]] = field(default_factory=lambda: [{} for _ in range(BLOCKS)])

    def add(self, name: str, files: Sequence[Path]) -> None:
        """Adds a condition from the scores of its runs, [] for one without seeds."""
        found = [losses_of(file) for file in files]
        self.values[name] = np.array([whole for whole, _ in found])
        for j, one in enumerate(self.without):
            one[name] = np.array([left[j] for _, left in found])

    def put(self, name: str, value: Floats) -> None:
        """Adds a condition that no test rows are drawn for."""
        for one in (self.values, *self.without):
            one[name] = np.asarray(value, dtype=np.float64)

    def take(self, other: Measured, prefix: str) -> None:
        """Adds another's conditions under a prefix."""
        pairs = zip([self.values, *self.without], [other.values, *other.without], strict=True)
        for mine, theirs in pairs:
            mine.update({f"{prefix}{name}": value for name, value in theirs.items()})


def losses_of(file: Path) -> tuple[float, Floats]:
    """The loss of a run on a set, in nats per token, and [BLOCKS] without each block of rows.

    Raises:
        StoreError: the file is missing or torn.
    """
    arrays = read_arrays(file)
    if arrays is None or _METRIC not in arrays:
        raise StoreError(f"{file}: holds no losses of the rows; run the same command again")
    sums = np.asarray(arrays[_METRIC], dtype=np.float64)
    total = sums.sum(axis=0)
    block = np.arange(len(sums)) % BLOCKS
    parts = np.stack([sums[block == j].sum(axis=0) for j in range(BLOCKS)])
    left = total - parts
    return float(total[0] / total[1]), left[:, 0] / np.maximum(left[:, 1], 1e-12)


def measured_of(place: Path, methods: Mapping[str, str], part: str) -> Measured:
    """What a study measured for one part of a claim.

    Args:
        place: the study's folder. methods: by entrant, what the study calls it. part: the part's
            name, which stands in front of its conditions.

    Raises:
        StoreError: an entrant has no scores, with the reason.
    """
    results = read_results(place)
    for method in methods.values():
        if method not in results.methods:
            raise StoreError(f"{place}: {method} was not begun; the same command goes on")
    found = Measured()
    front = f"{part}:" if part else ""
    # A run that failed is left out of every entrant, so that repeats stay pairs.
    seeds = set.intersection(*(set(results.methods[m].seeds) for m in methods.values()))
    for entrant, method in methods.items():
        _add_method(found, results, place, f"{front}{entrant}", method, seeds)
    for baseline, record in results.baselines.items():
        folder = place / "baselines" / baseline / "scores"
        _add_one(found, f"{front}{baseline}", folder / "test.npz")
        for name in record.also_test:
            _add_one(found, f"{front}{baseline}@{name}", folder / f"also-{name}.npz")
            # A written prompt is the untuned base on rows that are laid out in another way.
            if name.startswith("prompt_") and baseline == "zero_shot":
                _add_one(found, f"{front}{name}", folder / f"also-{name}.npz")
    return found


def _add_one(found: Measured, name: str, file: Path) -> None:
    if file.exists():
        found.add(name, [file])
        for one in (found.values, *found.without):
            one[name] = one[name][0]


def _add_method(
    found: Measured, results: Results, place: Path, name: str, method: str, seeds: set[int]
) -> None:
    record = results.methods[method]
    if not seeds or _METRIC not in record.test:
        reason = record.reason or f"it is {record.state}"
        raise StoreError(f"{place}: {method} was not tested ({reason})")
    by_seed = {results.candidates[run].seed: run for run in record.candidates}
    runs = [by_seed[seed] for seed in sorted(seeds)]
    folders = [place / "candidates" / run / "scores" for run in runs]
    found.add(name, [folder / "test.npz" for folder in folders])
    found.put(f"{name}#rate", np.array(record.learning_rate))
    if _METRIC in record.validation:
        found.put(f"{name}#validation", np.array(record.validation[_METRIC].mean))
    for one in record.also_test:
        if not one.startswith("prompt_"):
            found.add(f"{name}@{one}", [folder / f"also-{one}.npz" for folder in folders])
