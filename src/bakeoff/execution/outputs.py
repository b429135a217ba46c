"""Asks candidates for what their task needs: likelihoods, choices, texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.data.batches import BatchPlan
from bakeoff.data.taskdata import SplitData
from bakeoff.engine.backends.capture import Note
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.choose import choose
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import generate
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.score import example_nlls
from bakeoff.engine.texts import decode
from bakeoff.metrics.background import BackgroundScoring
from bakeoff.metrics.contract import Ask, ModelOutputs

Progress = Callable[[str, int, int], None]


def ask(
    cohort: Cohort,
    slots: Sequence[int],
    part: SplitData,
    plan: BatchPlan,
    asks: frozenset[Ask],
    generation: GenerationOptions,
    scoring: BackgroundScoring,
    *,
    lead: str = "",
    progress: Progress | None = None,
    note: Note | None = None,
) -> list[ModelOutputs]:
    """What each of some slots' candidates gives for a split.

    Args:
        cohort: entered. slots: whose candidates.
        part, plan: the split and its schedule.
        asks: what is needed. generation: how texts are written.
        scoring: scores texts while others are being written.
        lead: what a chat template writes before every answer; see ``decode``.
        progress: called with (what, done, in all).
    """

    def counted(what: str) -> Callable[[int, int], None] | None:
        return None if progress is None else lambda done, total: progress(what, done, total)

    prompts = [part.prompts[i] for i in range(len(part))]
    nlls: list[NDArray[np.float64] | None] = [None] * len(slots)
    if Ask.LIKELIHOOD in asks:
        source = TokenSource(cohort.base.device)
        nlls = [example_nlls(cohort, slot, source, plan) for slot in slots]
    choices: list[list[NDArray[np.float64]] | None] = [None] * len(slots)
    if Ask.CHOICE in asks:
        sets = [part.choice_sets[chosen].tokens for chosen in part.choice_set]
        choices = list(choose(cohort, slots, prompts, sets, progress=counted("choices")))
    texts = {slot: scoring.texts(part.expected) for slot in slots}
    lengths = {slot: np.zeros(len(part), dtype=np.int64) for slot in slots}
    if Ask.TEXT in asks:
        longest = generation.max_new_tokens

        def written(slot: int, chosen: NDArray[np.int64], ids: list[list[int]]) -> None:
            unfinished = [len(row) >= longest for row in ids]
            lengths[slot][chosen] = [min(len(row) + 1, longest) for row in ids]
            texts[slot].add(chosen, decode(cohort.base, ids, lead), unfinished)

        generate(
            cohort,
            slots,
            prompts,
            generation,
            progress=counted("texts"),
            written=written,
            note=note,
        )
        for one in texts.values():
            one.finish()
    return [
        ModelOutputs(
            nll_N=nll_N,
            tokens_N=None if nll_N is None else plan.target_counts.astype(np.float64),
            target_bytes_N=None if nll_N is None else part.target_bytes,
            choice_nlls=chosen,
            chosen_N=None
            if chosen is None
            else np.array([int(np.argmin(nlls_M)) for nlls_M in chosen], dtype=np.int64),
            texts=texts[slot].texts if Ask.TEXT in asks else None,
            unfinished_N=texts[slot].unfinished_N if Ask.TEXT in asks else None,
            written_N=lengths[slot] if Ask.TEXT in asks else None,
        )
        for slot, nll_N, chosen in zip(slots, nlls, choices, strict=True)
    ]


def answers_of(outputs: ModelOutputs, part: SplitData) -> list[str]:
    """[N] what a reader is shown as each example's answer: the text, or the chosen answer."""
    if outputs.texts is not None:
        return list(outputs.texts)
    if outputs.chosen_N is None:
        return [""] * len(part)
    return [
        expected.choices[int(chosen)] if chosen >= 0 else ""
        for expected, chosen in zip(part.expected, outputs.chosen_N, strict=True)
    ]
