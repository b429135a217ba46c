"""Greedy continuation: rows of all slots together, finished rows leave.

On a CPU, rows leave as soon as that is worth the copying. On a GPU a token's step is captured in a
graph, one for each number of rows, and rows leave whenever half of them have ended: each slot has a
power of two of them, so that batches share their graphs. The first token of such a number is
run as the step is, which warms up what a capture must not do for the first time.

Axis letters: ``K`` slots, ``B`` rows of a slot, ``R`` = K * B, ``T`` prompt positions,
``G`` generated tokens, ``V`` vocabulary, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from bakeoff.base.attention.interface import decoding
from bakeoff.base.devices import kind_of
from bakeoff.base.model import Base
from bakeoff.base.outputs import capped
from bakeoff.base.prefix import Prefix
from bakeoff.base.products import product
from bakeoff.engine.backends.capture import Note, StepTimer, give_up_capturing
from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.backends.streams import capturing, on_side_stream
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.repeats import block_repeats
from bakeoff.engine.generation.rows import Rows, RowStorage, new_cache, power_of_two
from bakeoff.engine.generation.stopping import stop_ids

_ROOM = 64
"""Positions by whose multiples the cache of a captured step grows."""


def writes_frozen(base: Base) -> bool:
    """Whether steps over this base work on memory that stays where it is."""
    return kind_of(base.device) == "cuda" and base.may_capture


class Greedy:
    """Continues batches for the present slots of a cohort.

    Args:
        cohort: entered, and narrowed to the slots that write.
        max_new_tokens: of each row. no_repeat_ngram, stop_tokens: see ``GenerationOptions``.
        frozen: whether a step works on memory that stays where it is, as a graph needs it; None
            does so on a GPU.
        capture: whether a frozen step is captured; None does so on a GPU, and False runs the same
            step without a graph.
        note: called with a sentence if a step turns out not to be capturable.
        timer: called when a step begins, and around what of it is start-up.

    Attributes:
        is_frozen: see ``frozen``; each slot's rows are then filled up to a power of two.
    """

    def __init__(
        self,
        cohort: Cohort,
        *,
        max_new_tokens: int,
        no_repeat_ngram: int,
        stop_tokens: Sequence[str] = (),
        frozen: bool | None = None,
        capture: bool | None = None,
        note: Note | None = None,
        timer: StepTimer | None = None,
    ) -> None:
        self._cohort = cohort
        self._length = max_new_tokens
        self._ngram = no_repeat_ngram
        may_freeze = writes_frozen(cohort.base) and cohort.is_capturable
        self.is_frozen = may_freeze if frozen is None else frozen
        # A simulated GPU has no graphs.
        can_capture = may_freeze and cohort.base.device.type == "cuda"
        self._captures = self.is_frozen and (can_capture if capture is None else capture)
        self._note = note
        self._timer = timer or StepTimer()
        self._check_every = 16 if self.is_frozen else 4
        self._storage: RowStorage | None = None
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph | None] = {}
        end_id = cohort.base.tokenizer.eos_token_id
        assert isinstance(end_id, int)
        self._end_id = end_id
        stops = stop_ids(cohort.base, stop_tokens)
        self._stops_S = torch.tensor(stops, device=cohort.base.device) if stops else None

    def __call__(self, x_KBTD: Tensor, num_padding_R: Tensor) -> Tensor:
        """Continues left-padded prompts.

        Args:
            x_KBTD: [K, B, T, D] embedded prompts, soft prompts included.
            num_padding_R: [R] how many of the first positions are padding.

        Returns:
            [R, G] tokens; from the first end token on, all are end tokens.
        """
        num_slots, num_rows = x_KBTD.shape[:2]
        if self.is_frozen:
            x_KBTD, num_padding_R = _filled_up(x_KBTD, num_padding_R, power_of_two(num_rows))
        present = x_KBTD.shape[1]
        total = num_slots * present
        result_RG = torch.full((total, self._length), self._end_id, device=x_KBTD.device)
        origin_R = torch.arange(total, device=x_KBTD.device)
        rows = self._read(x_KBTD.flatten(0, 1), num_padding_R)
        if present > num_rows:
            rows.finished_R.view(num_slots, present)[:, num_rows:] = True
        for step in range(1, self._length):
            if step % self._check_every == 0:
                going = self._going(rows)
                if going == 0:
                    break
                if self._may_leave(going, len(origin_R) // num_slots):
                    result_RG[origin_R] = rows.generated_RG
                    chosen = self._unfinished(rows, going)
                    rows, origin_R = self._narrowed(rows, chosen), origin_R[chosen]
            self._advance(rows, step)
        result_RG[origin_R] = rows.generated_RG
        if present > num_rows:
            result_RG = result_RG.view(num_slots, present, -1)[:, :num_rows].flatten(0, 1)
        return result_RG

    def release(self) -> None:
        """Drops graphs and memory, as when there is none left; the next batch makes new ones."""
        self._graphs.clear()
        self._storage = None
        if self.is_frozen:
            # What graphs read of it, and a copy of all weights where those are trained in place.
            torch.clear_autocast_cache()

    @cached_property
    def _prefix(self) -> Prefix | None:
        """Once for all batches: a graph reads it by its address."""
        return self._cohort.prefix()

    def _going(self, rows: Rows) -> int:
        """Rows of the slot that has most of them unfinished; the only place that waits."""
        num_slots = len(self._cohort.slots)
        return int((~rows.finished_R).view(num_slots, -1).sum(dim=1).max())

    def _may_leave(self, going: int, present: int) -> bool:
        if self.is_frozen:
            return going <= present // 2
        return present - going >= max(1, present // 8)

    def _unfinished(self, rows: Rows, going: int) -> Tensor:
        """As many rows of each slot, since rows are grouped by slot: the unfinished ones first."""
        num_slots = len(self._cohort.slots)
        finished_KB = rows.finished_R.view(num_slots, -1)
        num_rows = finished_KB.shape[1]
        count = power_of_two(going) if self.is_frozen else going
        order_KB = torch.argsort(finished_KB.int(), dim=1, stable=True)[:, :count]
        first_K1 = torch.arange(num_slots, device=order_KB.device)[:, None] * num_rows
        return (order_KB + first_K1).flatten()

    def _narrowed(self, rows: Rows, chosen: Tensor) -> Rows:
        if not self.is_frozen:
            rows.keep(chosen)
            return rows
        assert self._storage is not None
        smaller = self._storage.rows(len(chosen), rows.cache.capacity)
        smaller.take(rows, chosen)
        return smaller

    def _read(self, x_RTD: Tensor, num_padding_R: Tensor) -> Rows:
        """Takes in the prompts and chooses each row's first token."""
        self._timer.step()
        num_rows, num_prompt = x_RTD.shape[:2]
        device = x_RTD.device
        capacity = num_prompt + self._length
        prefix = self._prefix
        before_R1: Tensor | int = 0
        if prefix is not None:
            before_R1 = prefix.by_row(prefix.lengths_K, num_rows)[:, None]
        place_T = torch.arange(num_prompt, device=device)
        position_RT = (place_T[None] - num_padding_R[:, None]).clamp(min=0) + before_R1
        if self.is_frozen:
            capacity = -(-capacity // _ROOM) * _ROOM
            rows = self._stored(num_padding_R, capacity)
        else:
            rows = Rows.empty(new_cache(num_padding_R, capacity, prefix), self._length)
        rows.begin(self._end_id, num_prompt - num_padding_R[:, None] + before_R1)
        with decoding(rows.cache):
            hidden_RTD = self._cohort.base.hidden_states(x_RTD, position_RT)
            rows.cache.advance(num_prompt)
        if self.is_frozen:
            rows.cache.freeze()
        self._choose(rows, hidden_RTD[:, -1], 0)
        return rows

    def _stored(self, num_padding_R: Tensor, capacity: int) -> Rows:
        """Rows of the storage, which becomes larger where they do not fit."""
        total = len(num_padding_R)
        if self._storage is None or not self._storage.holds(total, capacity):
            self.release()
            self._storage = RowStorage(
                total, capacity, self._length, num_padding_R.device, self._prefix
            )
        rows = self._storage.rows(total, capacity)
        rows.cache.reopen(num_padding_R)
        return rows

    def _advance(self, rows: Rows, step: int) -> None:
        """One more token of every row."""
        self._timer.step()
        key = (len(rows.next_R), rows.cache.capacity)
        graph = self._graphs.get(key)
        if graph is not None:
            graph.replay()
        elif self._captures and key not in self._graphs:
            with self._timer.start_up():
                with on_side_stream(rows.next_R.device):
                    self._token(rows, step)
                self._graphs[key] = self._captured(rows, step)
        else:
            self._token(rows, step)

    def _captured(self, rows: Rows, step: int) -> torch.cuda.CUDAGraph | None:
        """The step as a graph; None, for good, where memory does not suffice for one.

        Where it fails by anything else, this and all later steps run as they are.
        """
        graph = torch.cuda.CUDAGraph()
        # One pool for all graphs, of which one replays at a time; it lives as long as one of them.
        pool = next((g.pool() for g in self._graphs.values() if g is not None), None)
        try:
            with capturing(graph, rows.next_R.device, pool):
                self._token(rows, step)
        except (RuntimeError, MemoryError) as error:
            is_short = is_out_of_memory(error)
            if not is_short:
                if not isinstance(error, RuntimeError):
                    raise
                give_up_capturing(self._cohort.base, error, self._note)
                self._captures = False
        else:
            return graph
        # Only here is the error gone, and with it what its frames held.
        rows.cache.drop_masks()
        if is_short:
            release_memory()
        return None

    def _token(self, rows: Rows, step: int) -> None:
        """Reads the newest token of every row and chooses the next; waits for nothing."""
        x_R1D = self._embed(rows.next_R)
        with decoding(rows.cache):
            hidden_R1D = self._cohort.base.hidden_states(x_R1D, rows.position_R1)
            rows.cache.advance(1)
        rows.position_R1 += 1
        self._choose(rows, hidden_R1D[:, -1], step)

    def _embed(self, ids_R: Tensor) -> Tensor:
        """[R, 1, D]."""
        cohort = self._cohort
        return cohort.embed(ids_R.view(len(cohort.slots), -1, 1)).flatten(0, 1)

    def _choose(self, rows: Rows, last_RD: Tensor, step: int) -> None:
        logits_RV = self._logits(last_RD)
        if self.is_frozen:
            block_repeats(logits_RV, rows.generated_RG, self._ngram, rows.written_1)
        else:
            block_repeats(logits_RV, rows.generated_RG[:, :step], self._ngram)
        best_R = logits_RV.argmax(dim=-1)
        if self._stops_S is not None:
            is_stop_R = (best_R[:, None] == self._stops_S).any(dim=-1)
            best_R = torch.where(is_stop_R, self._end_id, best_R)
        next_R = torch.where(rows.finished_R, self._end_id, best_R)
        if self.is_frozen:
            rows.generated_RG.index_copy_(1, rows.written_1, next_R[:, None])
            rows.written_1 += 1
        else:
            rows.generated_RG[:, step] = next_R
        rows.finished_R |= next_R == self._end_id
        rows.next_R.copy_(next_R)

    def _logits(self, last_RD: Tensor) -> Tensor:
        """[R, V] float32."""
        weight, bias = self._cohort.head()
        weight = weight.to(last_RD.dtype)
        if weight.dim() == 3:
            last_KBD = last_RD.view(len(weight), -1, last_RD.shape[-1])
            logits = torch.bmm(last_KBD, weight.transpose(1, 2)).flatten(0, 1)
        else:
            logits = product(last_RD, weight)
        logits = logits.float() if bias is None else logits.float() + bias.float()
        return capped(logits, self._cohort.base.logit_cap)


def _filled_up(x_KBTD: Tensor, num_padding_R: Tensor, num_rows: int) -> tuple[Tensor, Tensor]:
    """As many rows of each slot; those that are missing are its last row again."""
    num_slots, present = x_KBTD.shape[:2]
    if present == num_rows:
        return x_KBTD, num_padding_R
    index_B = torch.arange(num_rows, device=x_KBTD.device).clamp(max=present - 1)
    padding_KB = num_padding_R.view(num_slots, present)
    return x_KBTD.index_select(1, index_B), padding_KB.index_select(1, index_B).flatten()
