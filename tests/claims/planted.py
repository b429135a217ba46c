"""Folders of studies as ``bakeoff claims`` finds them, with scores that a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.claims.contract import SIZES
from bakeoff.claims.listing import NOMINAL
from bakeoff.claims.planning import ClaimData
from bakeoff.claims.registry import claims_named
from bakeoff.claims.suite import Suite
from bakeoff.runs.arrays import arrays_bytes
from bakeoff.runs.candidates import EpochRecord, FileRecord
from bakeoff.runs.records import CandidateRecord, Estimate
from bakeoff.types import RunState
from tests.golden_folders import golden, save

_ROWS = 40


@dataclass
class Study:
    """Stands for the training of studies: leaves planted scores, and remembers what it was asked.

    Attributes:
        losses: by method, or baseline, its test loss; 2.0 of any other.
        ran: by call the study's name and its methods.
        leaves_out: files, relative to the study's folder, that are not there in the end.
        states: by method its state, where it was not tested. raises: what a call ends with.
        seconds: of an epoch, by method. cohorts: how many candidates share a pass, by method.
        adapters: the hash of every adapter.
        longest_row: of the test set, in tokens; None counts none, as early versions.
    """

    losses: Mapping[str, float] = field(default_factory=dict)
    ran: list[tuple[str, list[str]]] = field(default_factory=list)
    leaves_out: Collection[str] = ()
    states: Mapping[str, RunState] = field(default_factory=dict)
    raises: Callable[[str], Exception | None] = lambda name: None
    seconds: Mapping[str, float] = field(default_factory=dict)
    adapters: str = "0" * 64
    longest_row: int | None = None

    def __call__(self, mapping: Mapping[str, Any], place: Path, seconds: float | None) -> None:
        """As ``suite.RunStudy``."""
        self.ran.append((mapping["name"], list(mapping["methods"])))
        error = self.raises(mapping["name"])
        if error is not None:
            raise error
        place.mkdir(parents=True, exist_ok=True)
        results = golden("four")
        method, baseline = next(iter(results.methods.values())), results.baselines["zero_shot"]
        seeds = range(mapping["protocol"]["seeds"])
        also = mapping["also_test"]
        methods, candidates = {}, {}
        for name in mapping["methods"]:
            state = self.states.get(name, RunState.COMPLETE)
            runs = {f"{name}-s{seed}": seed for seed in seeds}
            sets = [one for one in also if name in also[one]["methods"]]
            for run, seed in runs.items():
                candidates[run] = self._candidate(name, seed, state)
                if state.is_eligible:
                    for split in ("test", *(f"also-{one}" for one in sets)):
                        loss = self.losses.get(name, 2.0) + 0.001 * seed
                        self._score(place / "candidates" / run / "scores" / f"{split}.npz", loss)
            tested = state.is_eligible
            methods[name] = replace(
                method,
                state=state,
                reason=None if tested else "said so",
                seeds=tuple(seeds) if tested else (),
                test={"nll": Estimate(mean=2.0)} if tested else {},
                also_test={one: {"nll": Estimate(mean=2.0)} for one in sets if tested},
                candidates=tuple(runs),
                learning_rate=mapping["methods"][name].get("learning_rate", 1e-3),
                cell=None,
            )
        asked = [one if isinstance(one, str) else next(iter(one)) for one in mapping["baselines"]]
        for name in asked:
            for split in ("test", *(f"also-{one}" for one in also if name == "zero_shot")):
                file = place / "baselines" / name / "scores" / f"{split}.npz"
                self._score(file, self.losses.get(name, 3.0))
        for left_out in self.leaves_out:
            (place / left_out).unlink(missing_ok=True)
        data = results.data
        if self.longest_row is not None:
            read = min(self.longest_row, mapping["task"]["max_length"]) * data.test.examples
            data = replace(data, test=replace(data.test, tokens_read=read))
        sets_of_baseline = {one: {"nll": Estimate(mean=2.0)} for one in also}
        save(
            place,
            replace(
                results,
                data=data,
                methods=methods,
                candidates=candidates,
                comparisons=(),
                baselines={name: replace(baseline, also_test=sets_of_baseline) for name in asked},
            ),
        )

    def _candidate(self, name: str, seed: int, state: RunState) -> CandidateRecord:
        seconds = self.seconds.get(name, 1.0)
        return CandidateRecord(
            method=name,
            learning_rate=1e-3,
            seed=seed,
            state=state,
            best_epoch=1,
            epochs=(EpochRecord(epoch=1, train_nll=2.0, val_nll=2.0, seconds=seconds),),
            cohort=f"of-{name}",
            files={"adapter/weights": FileRecord(bytes=1, sha256=self.adapters)},
        )

    def _score(self, file: Path, loss: float) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(arrays_bytes({"nll": np.tile([10 * loss, 10.0], (_ROWS, 1))}))


WHOLE = replace(NOMINAL, learnt=None)
"""The shipped base's shape, as of one that was trained on all positions that it takes: rows of all
claims are then the same, and share a study."""


def suite_of(
    names: tuple[str, ...], out: Path, data: ClaimData, study: Study, **more: Any
) -> Suite:
    """A run of some claims in small, on the shape of the shipped base."""
    return Suite(
        claims=claims_named(names),
        facts=[WHOLE],
        main=WHOLE,
        size=SIZES["quick"],
        data=data,
        device="cpu",
        out=out,
        run_study=study,
        **more,
    )
