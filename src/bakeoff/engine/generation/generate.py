"""Text from prompts: greedy by our own loop, every other strategy by Transformers' ``generate``.

In both paths ``no_repeat_ngram`` looks at generated tokens only. Transformers' own option looks at
the prompt as well and so forbids copying three words in a row from the document.

Axis letters: ``K`` slots, ``B`` rows of a slot, ``T`` prompt tokens, ``P`` soft prompt positions,
``G`` generated tokens, ``V`` vocabulary, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import GenerationConfig

from bakeoff.base.prefix import lent
from bakeoff.engine.backends.capture import Note, StepTimer
from bakeoff.engine.backends.memory import release_memory
from bakeoff.engine.backends.worker_threads import ONE_WORKER, worker_threads_of
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.greedy import Greedy
from bakeoff.engine.generation.options import GenerationOptions as GenerationOptions
from bakeoff.engine.generation.rows import largest_power_of_two, rows_of_batch
from bakeoff.engine.generation.stopping import stop_ids
from bakeoff.engine.halving import Halving
from bakeoff.engine.join import join_left

Prompts = Sequence[NDArray[np.int32]]
Order = NDArray[np.int64]
Progress = Callable[[int, int], None]
Written = Callable[[int, Order, list[list[int]]], None]
"""Told a slot, which prompts, and the ids that it wrote for each."""


@torch.no_grad()
def generate(
    cohort: Cohort,
    slots: Sequence[int],
    prompts: Prompts,
    options: GenerationOptions,
    progress: Progress | None = None,
    written: Written | None = None,
    *,
    note: Note | None = None,
    timer: StepTimer | None = None,
) -> list[list[list[int]]]:
    """Continues every prompt under each of the slots' candidates.

    Args:
        cohort: an entered cohort.
        slots: whose candidates.
        prompts: token ids, without soft prompts.
        options: how.
        progress: called with (prompts done, prompts in all) after each batch.
        written: called with each slot's part of a batch as soon as it is there.
        note: called with a sentence if steps turn out not to be capturable in a graph.
        timer: follows the steps of greedy generation.

    Returns:
        For each slot, for each prompt, the generated ids without the end token.

    Raises:
        OutOfMemoryError: if not even one prompt a slot fits.
    """
    if options.strategy == "sample" and len(slots) > 1:
        # What is drawn must not depend on who else is there, so slots share no batch.
        alone = [generate(cohort, [slot], prompts, options, progress, written) for slot in slots]
        return [texts for [texts] in alone]
    with cohort.only(slots):
        greedy = Greedy(
            cohort,
            max_new_tokens=options.max_new_tokens,
            no_repeat_ngram=options.no_repeat_ngram,
            stop_tokens=options.stop_tokens,
            note=note,
            timer=timer,
        )
        return _Writer(cohort, prompts, options, greedy, progress, written).run()


class _Writer:
    """All batches of one call, longest prompts first."""

    def __init__(
        self,
        cohort: Cohort,
        prompts: Prompts,
        options: GenerationOptions,
        greedy: Greedy,
        progress: Progress | None,
        written: Written | None,
    ) -> None:
        self._cohort = cohort
        self._prompts = prompts
        self._options = options
        self._progress = progress
        self._written = written
        self._done = 0
        self._results: list[list[list[int]]] = [[[] for _ in prompts] for _ in cohort.slots]
        self._greedy = greedy

    def run(self) -> list[list[list[int]]]:
        """See ``generate``."""
        order = np.argsort([len(p) for p in self._prompts], kind="stable")[::-1]
        is_greedy = self._options.strategy == "greedy"
        # Sampling and beams draw from one generator, and change the model while they run.
        workers = worker_threads_of(self._cohort.base) if is_greedy else ONE_WORKER
        rows = max(1, self._rows() // workers.num)
        batches = Halving(
            lambda start, stop: self._batch(order[start:stop], start),
            largest=rows,
            release=self._release,
            message="generation ran out of memory with one prompt a slot; lower task.max_length or "
            "generation.max_new_tokens",
        )
        starts = range(0, len(order), rows)
        # Graphs read weights that autocast has cast and keeps until its outermost context ends.
        with self._cohort.autocast() if is_greedy else nullcontext():
            for parts in workers.map(
                lambda start: batches.run(start, min(start + rows, len(order))), starts
            ):
                for start, stop, by_slot in parts:
                    self._keep(order[start:stop], by_slot)
            self._greedy.release()
        return self._results

    def _rows(self) -> int:
        """Prompts of one slot in one batch."""
        longest = max((len(p) for p in self._prompts), default=1)
        wanted = rows_of_batch(
            self._cohort.base, self._options, longest + self._options.max_new_tokens
        )
        rows = max(1, wanted // len(self._cohort.slots))
        is_greedy = self._options.strategy == "greedy"
        if is_greedy and self._greedy.is_frozen:
            # What is filled up to a power of two must not be more than was asked for.
            rows = largest_power_of_two(rows)
        return rows

    def _keep(self, chosen: Order, by_slot: list[list[list[int]]]) -> None:
        slots = self._cohort.slots
        for slot, by_prompt, generated in zip(slots, self._results, by_slot, strict=True):
            for index, ids in zip(chosen, generated, strict=True):
                by_prompt[int(index)] = ids
            if self._written is not None:
                self._written(slot, chosen, generated)
        self._done += len(chosen)
        if self._progress is not None:
            self._progress(self._done, len(self._prompts))

    @torch.no_grad()
    def _batch(self, chosen: Order, start: int) -> list[list[list[int]]]:
        """Ids of each slot for the chosen prompts, which are at ``start`` of the order.

        What is sampled depends on which prompts share a batch, as all rows draw from one generator.
        So it depends on ``batch_rows``, and on memory where it runs out and a batch is halved.
        """
        if self._options.strategy == "sample":
            torch.manual_seed(self._options.seed + start)
        prompts = [self._prompts[i] for i in chosen]
        return _generate_batch(self._cohort, prompts, self._options, self._greedy)

    def _release(self) -> None:
        self._greedy.release()
        release_memory()


def _generate_batch(
    cohort: Cohort, prompts: Prompts, options: GenerationOptions, greedy: Greedy
) -> list[list[list[int]]]:
    base = cohort.base
    end_id = base.tokenizer.eos_token_id
    ids, padding = left_padded_ids(prompts, end_id)
    x_KBTD, num_padding_KB = _left_padded(
        cohort, torch.from_numpy(ids).to(base.device), torch.from_numpy(padding).to(base.device)
    )
    num_slots, rows = num_padding_KB.shape
    if options.strategy == "greedy":
        with cohort.autocast():
            flat = until_end(greedy(x_KBTD, num_padding_KB.flatten()), end_id)
    else:
        flat = _by_transformers(cohort, x_KBTD, num_padding_KB.flatten(), options)
    return [flat[slot * rows : (slot + 1) * rows] for slot in range(num_slots)]


def left_padded_ids(prompts: Prompts, pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """([B, T] ids, [B] how many of the first positions are padding)."""
    longest = max(len(p) for p in prompts)
    ids = np.full((len(prompts), longest), pad_id, dtype=np.int64)
    padding = np.zeros(len(prompts), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        padding[row] = longest - len(prompt)
        ids[row, padding[row] :] = prompt
    return ids, padding


def _left_padded(cohort: Cohort, ids_BT: Tensor, padding_B: Tensor) -> tuple[Tensor, Tensor]:
    """Embeds prompts for every slot, each soft prompt right before its row's first token.

    Returns:
        ([K, B, P + T, D], [K, B] how many of the first positions are padding).
    """
    num_slots = len(cohort.slots)
    x_KBTD = cohort.embed(ids_BT[None].expand(num_slots, *ids_BT.shape))
    num_padding_KB = padding_B[None].expand(num_slots, -1)
    return join_left(cohort.prompts(), x_KBTD, num_padding_KB)


def until_end(generated_RG: Tensor, end_id: int) -> list[list[int]]:
    """Each row without its first end token and what follows."""
    rows: list[list[int]] = generated_RG.tolist()
    return [row[: row.index(end_id)] if end_id in row else row for row in rows]


def _by_transformers(
    cohort: Cohort, x_KBTD: Tensor, num_padding_R: Tensor, options: GenerationOptions
) -> list[list[int]]:
    """Beam search and sampling, one slot at a time: beams would break the rows' grouping."""
    base = cohort.base
    end_id = base.tokenizer.eos_token_id
    rows, num_prompt = x_KBTD.shape[1:3]
    columns = torch.arange(num_prompt, device=x_KBTD.device)
    results: list[list[int]] = []
    stops = stop_ids(base, options.stop_tokens)
    settings = _settings(options, end_id, stops)
    for index, slot in enumerate(list(cohort.slots)):
        padding_B = num_padding_R[index * rows : (index + 1) * rows]
        with cohort.only([slot]), _lent_head(cohort), lent(base, cohort.prefix()) as model:
            # With embeddings instead of ids, `generate` counts n-grams over new tokens alone.
            output = model.generate(  # type: ignore[operator]
                inputs_embeds=x_KBTD[index],
                attention_mask=(columns[None] >= padding_B[:, None]).long(),
                generation_config=settings,
            )
        for stop in stops:
            output[output == stop] = end_id
        results += until_end(output, end_id)
    return results


def _settings(options: GenerationOptions, end_id: int, stops: Sequence[int]) -> GenerationConfig:
    """A strategy in Transformers' words."""
    drawing: dict[str, Any] = {"num_beams": options.num_beams, "do_sample": False}
    if options.strategy == "sample":
        drawing = {
            "do_sample": True,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": 0,
            "num_beams": 1,
        }
    return GenerationConfig(
        max_new_tokens=options.max_new_tokens,
        pad_token_id=end_id,
        eos_token_id=[end_id, *stops],
        no_repeat_ngram_size=options.no_repeat_ngram,
        use_cache=True,
        **drawing,
    )


@contextmanager
def _lent_head(cohort: Cohort) -> Iterator[None]:
    """Lends the model one slot's head and embedding for as long as Transformers drives it."""
    base = cohort.base
    weight, _ = cohort.head()
    if weight.dim() != 3:
        yield
        return
    own = [hooks.embedding_weight for hooks in cohort.hooks]
    head, embedding = base.head.weight, base.embedding.weight
    base.head.weight = nn.Parameter(weight[0].to(head.dtype), requires_grad=False)
    if any(w is not None for w in own):
        base.embedding.weight = base.head.weight
    try:
        yield
    finally:
        base.head.weight, base.embedding.weight = head, embedding
