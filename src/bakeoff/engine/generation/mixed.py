"""Text from prompts that each name their slot: one batch holds rows of any candidates.

What is written is what ``generate`` writes for each slot alone. Rows of one batch change their
number by slot from step to step, so that no step is captured.

Axis letters: ``R`` rows, ``T`` prompt tokens, ``G`` generated tokens, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bakeoff.base.compiled import uncompiled
from bakeoff.base.prefix import Prefix
from bakeoff.base.transfer import to_device
from bakeoff.engine.backends.memory import release_memory
from bakeoff.engine.backends.worker_threads import worker_threads_of
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import (
    Order,
    Progress,
    Prompts,
    generate,
    left_padded_ids,
    until_end,
)
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.generation.rows import rows_of_batch
from bakeoff.engine.halving import Halving
from bakeoff.engine.row_pass import RowPass
from bakeoff.methods.stack import StackHooks


def generate_rows(
    cohort: Cohort,
    slot_R: Sequence[int] | Order,
    prompts: Prompts,
    options: GenerationOptions,
    progress: Progress | None = None,
) -> list[list[int]]:
    """Continues each prompt under the slot that it names.

    Greedily, all rows share batches; by another strategy, the rows of each slot.

    Args:
        cohort: an entered cohort.
        slot_R: the slot of each prompt.
        prompts: token ids, without soft prompts.
        options: how.
        progress: called with (prompts done, prompts in all) after each batch.

    Returns:
        For each prompt the generated ids without the end token.

    Raises:
        OutOfMemoryError: if not even one prompt fits.
    """
    named_R = np.asarray(slot_R, dtype=np.int64)
    if len(named_R) != len(prompts):
        raise ValueError(f"{len(named_R)} slots are named for {len(prompts)} prompts")
    if options.strategy != "greedy":
        return _slot_by_slot(cohort, named_R, prompts, options, progress)
    base = cohort.base
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")[::-1]
    workers = worker_threads_of(base)
    longest = max((len(prompt) for prompt in prompts), default=1)
    rows = rows_of_batch(base, options, longest + options.max_new_tokens)
    size = max(1, rows // workers.num)
    acting: dict[int, StackHooks] = {}

    @torch.no_grad()
    def batch(start: int, stop: int) -> tuple[Order, list[list[int]]]:
        chosen = order[start:stop]
        chosen = chosen[np.argsort(named_R[chosen], kind="stable")]
        greedy = _GreedyRows(cohort, named_R[chosen], acting, options)
        with cohort.autocast():
            generated_RG = greedy.write([prompts[row] for row in chosen])
        return chosen, until_end(generated_RG, base.tokenizer.eos_token_id)

    batches = Halving(
        batch,
        largest=size,
        release=release_memory,
        message="generation ran out of memory with one prompt; lower task.max_length or "
        "generation.max_new_tokens",
    )
    found: list[list[int]] = [[] for _ in prompts]
    done = 0
    with uncompiled(base):
        for parts in workers.map(
            lambda start: batches.run(start, min(start + size, len(order))),
            range(0, len(order), size),
        ):
            for _, _, (chosen, texts) in parts:
                for row, ids in zip(chosen, texts, strict=True):
                    found[int(row)] = ids
                done += len(chosen)
                if progress is not None:
                    progress(done, len(prompts))
    return found


def _slot_by_slot(
    cohort: Cohort,
    named_R: Order,
    prompts: Prompts,
    options: GenerationOptions,
    progress: Progress | None,
) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in prompts]
    done = 0
    for slot in np.unique(named_R).tolist():
        places = np.flatnonzero(named_R == slot).tolist()
        [texts] = generate(cohort, [slot], [prompts[place] for place in places], options)
        for place, ids in zip(places, texts, strict=True):
            found[place] = ids
        done += len(places)
        if progress is not None:
            progress(done, len(prompts))
    return found


class _GreedyRows(Greedy):
    """Continues one batch of rows that each name their slot.

    Args:
        cohort: entered. slot_R: [R] of the rows, rising.
        acting: where slots act, as ``RowPass`` takes it.
        options: how.
    """

    def __init__(
        self,
        cohort: Cohort,
        slot_R: Order,
        acting: dict[int, StackHooks],
        options: GenerationOptions,
    ) -> None:
        super().__init__(
            cohort,
            max_new_tokens=options.max_new_tokens,
            no_repeat_ngram=options.no_repeat_ngram,
            stop_tokens=options.stop_tokens,
            frozen=False,
        )
        self._slot_R = slot_R
        self._acting = acting
        self._pass: RowPass = RowPass(cohort, slot_R, acting)

    def write(self, prompts: Prompts) -> Tensor:
        """[R, G] tokens; from the first end token on, all are end tokens."""
        device = self._cohort.base.device
        ids_RT, padding_R = (
            to_device(array, device) for array in left_padded_ids(prompts, self._end_id)
        )
        result_RG = torch.full((len(prompts), self._length), self._end_id, device=device)
        origin_R = np.arange(len(prompts))
        with self._pass:
            rows = self._read(*self._pass.left_padded(ids_RT, padding_R))
        step = 1
        while step < self._length:
            stop = min(self._length, step - step % self._check_every + self._check_every)
            with self._pass:
                for number in range(step, stop):
                    self._advance(rows, number)
            step = stop
            if step == self._length:
                break
            # The only place that waits for the device.
            going = np.flatnonzero(~np.array(rows.finished_R.tolist()))
            if not len(going):
                break
            if self._may_leave(len(going), len(origin_R)):
                result_RG[to_device(origin_R, device)] = rows.generated_RG
                rows.keep(to_device(going, device))
                origin_R, self._slot_R = origin_R[going], self._slot_R[going]
                self._pass = RowPass(self._cohort, self._slot_R, self._acting)
        result_RG[to_device(origin_R, device)] = rows.generated_RG
        return result_RG

    @property
    def _prefix(self) -> Prefix | None:
        return self._pass.prefix

    def _embed(self, ids_R: Tensor) -> Tensor:
        return self._pass.embed(ids_R[:, None])

    def _logits(self, last_RD: Tensor) -> Tensor:
        return self._pass.logits(last_RD)
