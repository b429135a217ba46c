"""How likely each of an example's choices is after its prompt.

A prompt is computed once for all choices (``base/branches.py``): its last position gives every
choice's first token, and what else a choice has is read behind the prompt's cached keys and values.

Axis letters: ``R`` rows, each an example under a slot, ``T`` prompt positions, ``Q`` positions of
the choices, ``M`` choices of an example, ``N`` hidden states, ``n`` tokens, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.base.attention.interface import decoding
from bakeoff.base.branches import BranchedState
from bakeoff.base.compiled import uncompiled
from bakeoff.base.transfer import to_device
from bakeoff.engine.backends.memory import release_memory, rows_that_fit
from bakeoff.engine.backends.worker_threads import worker_threads_of
from bakeoff.engine.choice_packing import PackedChoices, branch_passes, pack
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.halving import Halving
from bakeoff.engine.row_pass import RowPass
from bakeoff.errors import DataError
from bakeoff.methods.stack import StackHooks

Ids = NDArray[np.int32]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]


def choose(
    cohort: Cohort,
    slots: Sequence[int],
    prompts: Sequence[Ids],
    choices: Sequence[Sequence[Ids]],
    *,
    batch_rows: int | Literal["auto"] = "auto",
    progress: Progress | None = None,
) -> list[list[Floats]]:
    """The negative log-likelihood of each choice under each of the slots' candidates.

    Slots share batches. What must not depend on its neighbours to the last bit, such as
    validation, asks for one slot at a time.

    Args:
        cohort: an entered cohort.
        slots: whose candidates.
        prompts: token ids of each example, without soft prompts; none empty.
        choices: token ids of each example's choices, which follow the prompt; none empty.
        batch_rows: rows of all slots together in one batch, halved when memory runs out; ``auto``:
            as many as memory holds with ease.
        progress: called with (examples done, examples in all) after each batch.

    Returns:
        For each slot, for each example, [M] summed nats of each choice's tokens, positive: the
        smallest is the likeliest choice.

    Raises:
        DataError: for a prompt or a choice without tokens, or an example without choices.
        OutOfMemoryError: if not even one example per slot fits.
    """
    present = sorted(set(slots))
    batches = _Batches(cohort, prompts, choices, progress)
    with uncompiled(cohort.base), cohort.only(present):

        def rows_of(examples: Ints) -> tuple[Ints, Ints]:
            return np.repeat(present, len(examples)), np.tile(examples, len(present))

        found = batches.run(len(prompts), len(present), batch_rows, rows_of)
    by_slot = {slot: [found[slot, example] for example in range(len(prompts))] for slot in present}
    return [by_slot[slot] for slot in slots]


def choose_rows(
    cohort: Cohort,
    slot_R: Sequence[int] | Ints,
    prompts: Sequence[Ids],
    choices: Sequence[Sequence[Ids]],
    *,
    batch_rows: int | Literal["auto"] = "auto",
    progress: Progress | None = None,
) -> list[Floats]:
    """As ``choose``, for examples that each name their slot; slots of all kinds share batches.

    Args:
        slot_R: the slot of each example. The others are as for ``choose``.

    Returns:
        For each example [M] summed nats of each choice's tokens.
    """
    named_R = np.asarray(slot_R, dtype=np.int64)
    if len(named_R) != len(prompts):
        raise ValueError(f"{len(named_R)} slots are named for {len(prompts)} prompts")
    batches = _Batches(cohort, prompts, choices, progress)
    with uncompiled(cohort.base):

        def rows_of(examples: Ints) -> tuple[Ints, Ints]:
            by_slot = examples[np.argsort(named_R[examples], kind="stable")]
            return named_R[by_slot], by_slot

        found = batches.run(len(prompts), 1, batch_rows, rows_of)
    return [found[int(slot), example] for example, slot in enumerate(named_R)]


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """What one batch gave; its values stay on the device until all batches have been asked for.

    Attributes:
        slot_R: [R] and example_R: [R] of each row. counts_R: [R] its choices.
        index_n: [n] the choice of each token, counted over all rows. nll_n: [n] its nats.
    """

    slot_R: Ints
    example_R: Ints
    counts_R: Ints
    index_n: Ints
    nll_n: Tensor

    def sums(self) -> Iterator[tuple[tuple[int, int], Floats]]:
        """((slot, example), [M] summed nats) of each row."""
        nats_n = self.nll_n.double().cpu().numpy()
        total = np.bincount(self.index_n, weights=nats_n, minlength=int(self.counts_R.sum()))
        by_row = np.split(total, np.cumsum(self.counts_R)[:-1])
        yield from zip(
            zip(self.slot_R.tolist(), self.example_R.tolist(), strict=True), by_row, strict=True
        )


class _Batches:
    """All batches of one call, longest rows first."""

    def __init__(
        self,
        cohort: Cohort,
        prompts: Sequence[Ids],
        choices: Sequence[Sequence[Ids]],
        progress: Progress | None,
    ) -> None:
        if len(prompts) != len(choices):
            raise ValueError(f"{len(prompts)} prompts have {len(choices)} lists of choices")
        for example, prompt in enumerate(prompts):
            _check_prompt(example, prompt)
        self._cohort = cohort
        self._prompts = prompts
        self._progress = progress
        # Examples of a classification share one list of choices. Listed, so that none goes and
        # leaves its number to another.
        listed = list(choices)
        packed: dict[int, PackedChoices] = {}
        for example, of_example in enumerate(listed):
            if id(of_example) not in packed:
                _check_choices(example, of_example)
                packed[id(of_example)] = pack(of_example)
        self._packed = [packed[id(of_example)] for of_example in listed]
        self._acting: dict[int, StackHooks] = {}

    def run(
        self,
        num_examples: int,
        slots_each: int,
        batch_rows: int | Literal["auto"],
        rows_of: Callable[[Ints], tuple[Ints, Ints]],
    ) -> dict[tuple[int, int], Floats]:
        """[M] nats by slot and example.

        Args:
            num_examples: in all. slots_each: rows of one example.
            batch_rows: see ``choose``.
            rows_of: gives ([R] slots, rising, [R] examples) of the rows of some examples.
        """
        lengths = [
            (len(prompt) + packed.width)
            for prompt, packed in zip(self._prompts, self._packed, strict=True)
        ]
        order = np.argsort(lengths, kind="stable")[::-1]
        workers = worker_threads_of(self._cohort.base)
        if batch_rows == "auto":
            batch_rows = rows_that_fit(self._cohort.base, max(lengths, default=1))
        size = max(1, batch_rows // slots_each // workers.num)
        batches = Halving(
            lambda start, stop: self._batch(*rows_of(order[start:stop])),
            largest=size,
            release=release_memory,
            message="choosing ran out of memory with one example per slot; lower task.max_length",
        )
        pending: list[_Scored] = []
        done = 0
        for parts in workers.map(
            lambda start: batches.run(start, min(start + size, num_examples)),
            range(0, num_examples, size),
        ):
            for start, stop, scored in parts:
                pending.append(scored)
                done += stop - start
                if self._progress is not None:
                    self._progress(done, num_examples)
        return {key: nats for scored in pending for key, nats in scored.sums()}

    @torch.no_grad()
    def _batch(self, slot_R: Ints, example_R: Ints) -> _Scored:
        packed_R = [self._packed[example] for example in example_R]
        counts_R = np.array([len(packed.first_M) for packed in packed_R], dtype=np.int64)
        with RowPass(self._cohort, slot_R, self._acting) as rows:
            index_n, nll_n = self._nlls(rows, example_R, packed_R, counts_R)
        return _Scored(
            slot_R=slot_R, example_R=example_R, counts_R=counts_R, index_n=index_n, nll_n=nll_n
        )

    def _nlls(
        self,
        rows: RowPass,
        example_R: Ints,
        packed_R: list[PackedChoices],
        counts_R: Ints,
    ) -> tuple[Ints, Tensor]:
        """([n] the choice of each token, counted over all rows, [n] its nats)."""
        cohort = self._cohort
        base, device = cohort.base, cohort.base.device
        pad_id = int(base.tokenizer.eos_token_id)
        ids_RT, real_R = _right_padded([self._prompts[example] for example in example_R], pad_id)
        passes = branch_passes(packed_R, pad_id)
        state = self._state(rows, ids_RT, max((p.ids_RQ.shape[1] for p in passes), default=0))
        with nullcontext() if state is None else decoding(state):
            hidden_RTD, moved_R = rows.read(to_device(ids_RT, device))
        tokens_R = to_device(real_R, device)
        if moved_R is not None:
            tokens_R = tokens_R + moved_R
        positions = hidden_RTD.shape[1]
        # The last token of each prompt gives the first one of each of its choices.
        last_R = torch.arange(len(ids_RT), device=device) * positions + tokens_R - 1
        last_RD = hidden_RTD.flatten(0, 1).index_select(0, last_R)
        del hidden_RTD
        row_R = np.arange(len(ids_RT))
        firsts = np.concatenate([packed.first_M for packed in packed_R])
        found = [rows.nlls(last_RD, row_R, np.repeat(row_R, counts_R), firsts)]
        index = [np.arange(len(firsts))]
        before_R = np.cumsum(counts_R) - counts_R
        for branches in passes:
            assert state is not None
            if branches is passes[0]:
                state.end_prompts(tokens_R, positions)
            token_RQ = tokens_R[:, None] + to_device(branches.offset_RQ, device)
            state.branch(to_device(branches.branch_RQ, device), token_RQ)
            x_RQD = rows.embed(to_device(branches.ids_RQ, device))
            with cohort.autocast(), decoding(state):
                hidden_RQD = base.hidden_states(x_RQD, rows.positions(token_RQ))
            source_N = to_device(branches.source_N, device)
            hidden_ND = hidden_RQD.flatten(0, 1).index_select(0, source_N)
            each_N = np.arange(len(branches.source_N))
            found.append(rows.nlls(hidden_ND, branches.row_N, each_N, branches.targets_N))
            index.append(before_R[branches.row_N] + branches.choice_N)
        return np.concatenate(index), torch.cat(found)

    def _state(self, rows: RowPass, ids_RT: Ints, width: int) -> BranchedState | None:
        """What keeps the prompts' keys and values; None where no choice has a second token."""
        if width == 0:
            return None
        before = 0 if rows.prompts is None else rows.prompts[0].shape[1]
        capacity = before + ids_RT.shape[1] + width
        return BranchedState(len(ids_RT), capacity, rows.prefix, self._cohort.base.device)


def _check_prompt(example: int, prompt: Ids) -> None:
    if not len(prompt):
        raise DataError(
            f"example {example}: the prompt has no tokens, but a choice's first token is "
            "predicted by the prompt's last one; give a prompt of one token or more"
        )


def _check_choices(example: int, choices: Sequence[Ids]) -> None:
    if not len(choices):
        raise DataError(f"example {example} has no choices; give one or more")
    for number, ids in enumerate(choices):
        if not len(ids):
            raise DataError(
                f"example {example}: choice {number} has no tokens, so it has no likelihood; "
                "give every choice a text of one token or more"
            )


def _right_padded(rows: Sequence[Ids], pad_id: int) -> tuple[Ints, Ints]:
    """([R, T] ids, [R] tokens of each)."""
    lengths_R = np.array([len(row) for row in rows], dtype=np.int64)
    ids_RT = np.full((len(rows), int(lengths_R.max())), pad_id, dtype=np.int64)
    for row, ids in enumerate(rows):
        ids_RT[row, : len(ids)] = ids
    return ids_RT, lengths_R
