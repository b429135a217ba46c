"""Greedy continuation: rows of all slots together, finished rows leave.

On a CPU, rows leave as soon as that is worth the copying. On a GPU a token's step is captured in a
graph, one for each number of rows, and rows leave whenever half of them have ended.

Axis letters: ``K`` slots, ``B`` rows of a slot, ``R`` = K * B, ``T`` prompt positions,
``G`` generated tokens, ``V`` vocabulary, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.attention.interface import decoding
from bakeoff.base.prefix import PrefixedDecodingState
from bakeoff.base.products import product
from bakeoff.engine.capture import Note, StepTimer, give_up_capturing
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.repeats import block_repeats

_ROOM = 64
"""Positions by whose multiples the cache of a captured step grows."""


@dataclass(kw_only=True)
class _Rows:
    """Rows under way, all at the same step.

    Attributes:
        cache: keys and values. before_R1: positions of each row's prefix.
        generated_RG: what has been written. finished_R: which rows have ended.
        next_R: the newest token. position_R1: the position that it takes.
        written_1: [1] how many of the G are there, on the device.
    """

    cache: DecodingState
    generated_RG: Tensor
    finished_R: Tensor
    next_R: Tensor
    position_R1: Tensor
    written_1: Tensor

    def numbers(self) -> list[Tensor]:
        """Whatever a step changes, the cache's content aside."""
        counter = self.cache.counter
        found = [self.generated_RG, self.finished_R, self.next_R, self.position_R1, self.written_1]
        return [*found, *([] if counter is None else [counter])]

    def keep(self, rows: Tensor) -> None:
        """Lets all other rows leave."""
        self.cache.keep_rows(rows)
        self.generated_RG, self.finished_R = self.generated_RG[rows], self.finished_R[rows]
        self.next_R, self.position_R1 = self.next_R[rows], self.position_R1[rows]

    def take(self, other: _Rows, rows: Tensor) -> None:
        """Becomes, in its own memory, the given rows of ``other``."""
        self.cache.take(other.cache, rows)
        for mine, theirs in zip(self.numbers()[:4], other.numbers()[:4], strict=True):
            torch.index_select(theirs, 0, rows, out=mine)
        self.written_1.copy_(other.written_1)


class Greedy:
    """Continues batches for the present slots of a cohort.

    Args:
        cohort: entered, and narrowed to the slots that write.
        max_new_tokens: of each row. no_repeat_ngram: see ``GenerationOptions``.
        frozen: whether a step works on memory that stays where it is, as a graph needs it.
        capture: whether it is captured; False runs the same step without a graph.
        note: is told if a step turns out not to be capturable.
        timer: is told when a step begins, and what of it is start-up.
    """

    def __init__(
        self,
        cohort: Cohort,
        *,
        max_new_tokens: int,
        no_repeat_ngram: int,
        frozen: bool | None = None,
        capture: bool = True,
        note: Note | None = None,
        timer: StepTimer | None = None,
    ) -> None:
        self._cohort = cohort
        self._length = max_new_tokens
        self._ngram = no_repeat_ngram
        may_capture = (
            cohort.base.device.type == "cuda" and cohort.base.may_capture and cohort.is_capturable
        )
        self._frozen = may_capture if frozen is None else frozen
        self._capture = capture and may_capture
        self._note = note
        self._timer = timer or StepTimer()
        self._check_every = 16 if self._frozen else 4
        self._kept: dict[tuple[int, int], _Rows] = {}
        self._graphs: dict[tuple[int, int], torch.cuda.CUDAGraph] = {}
        self._pool: Any = None
        end_id = cohort.base.tokenizer.eos_token_id
        assert isinstance(end_id, int)
        self._end_id = end_id

    def __call__(self, x_KBTD: Tensor, num_padding_R: Tensor) -> Tensor:
        """Continues left-padded prompts.

        Args:
            x_KBTD: [K, B, T, D] embedded prompts, soft prompts included.
            num_padding_R: [R] how many of the first positions are padding.

        Returns:
            [R, G] tokens; from the first end token on, all are end tokens.
        """
        num_slots, num_rows = x_KBTD.shape[:2]
        result_RG = torch.full(
            (num_slots * num_rows, self._length), self._end_id, device=x_KBTD.device
        )
        origin_R = torch.arange(num_slots * num_rows, device=x_KBTD.device)
        rows = self._read(x_KBTD, num_padding_R)
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
        return result_RG

    def _going(self, rows: _Rows) -> int:
        """Rows of the slot that has most of them unfinished; the only place that waits."""
        num_slots = len(self._cohort.slots)
        return int((~rows.finished_R).view(num_slots, -1).sum(dim=1).max())

    def _may_leave(self, going: int, present: int) -> bool:
        if self._frozen:
            return going <= present // 2
        return present - going >= max(1, present // 8)

    def _unfinished(self, rows: _Rows, going: int) -> Tensor:
        """Of each slot as many rows, as rows lie grouped by slot: the unfinished ones first."""
        num_slots = len(self._cohort.slots)
        finished_KB = rows.finished_R.view(num_slots, -1)
        num_rows = finished_KB.shape[1]
        count = num_rows // 2 if self._frozen else going
        order_KB = torch.argsort(finished_KB.int(), dim=1, stable=True)[:, :count]
        first_K1 = torch.arange(num_slots, device=order_KB.device)[:, None] * num_rows
        return (order_KB + first_K1).flatten()

    def _narrowed(self, rows: _Rows, chosen: Tensor) -> _Rows:
        if not self._frozen:
            rows.keep(chosen)
            return rows
        key = (len(chosen), rows.cache.capacity)
        smaller = self._kept.get(key)
        if smaller is None:
            cache = self._cache(rows.cache.num_padding_B[chosen], rows.cache.capacity)
            cache.freeze()
            smaller = self._kept[key] = self._rows(cache, rows.position_R1[chosen])
        smaller.take(rows, chosen)
        return smaller

    def _cache(self, num_padding_R: Tensor, capacity: int) -> DecodingState:
        prefix = self._cohort.prefix()
        if prefix is None:
            return DecodingState(num_padding_R, capacity)
        return PrefixedDecodingState(num_padding_R, capacity, prefix)

    def _rows(self, cache: DecodingState, position_R1: Tensor) -> _Rows:
        device, total = position_R1.device, len(position_R1)
        return _Rows(
            cache=cache,
            generated_RG=torch.full((total, self._length), self._end_id, device=device),
            finished_R=torch.zeros(total, dtype=torch.bool, device=device),
            next_R=torch.zeros(total, dtype=torch.int64, device=device),
            position_R1=position_R1.clone(),
            written_1=torch.zeros(1, dtype=torch.int64, device=device),
        )

    def _read(self, x_KBTD: Tensor, num_padding_R: Tensor) -> _Rows:
        """Takes in the prompts and chooses each row's first token."""
        self._timer.step()
        num_slots, num_rows, num_prompt, _ = x_KBTD.shape
        device = x_KBTD.device
        capacity = num_prompt + self._length
        prefix = self._cohort.prefix()
        before_R1: Tensor | int = 0
        if prefix is not None:
            before_R1 = prefix.lengths_K.repeat_interleave(num_rows)[:, None]
        place_T = torch.arange(num_prompt, device=device)
        position_RT = (place_T[None] - num_padding_R[:, None]).clamp(min=0) + before_R1
        after_R1 = num_prompt - num_padding_R[:, None] + before_R1
        if self._frozen:
            capacity = -(-capacity // _ROOM) * _ROOM
            key = (num_slots * num_rows, capacity)
            if key not in self._kept:
                cache = self._cache(num_padding_R.clone(), capacity)
                self._kept[key] = self._rows(cache, after_R1)
            rows = self._kept[key]
            rows.cache.reopen(num_padding_R)
            rows.generated_RG.fill_(self._end_id)
            rows.finished_R.zero_()
            rows.position_R1.copy_(after_R1)
            rows.written_1.zero_()
        else:
            rows = self._rows(self._cache(num_padding_R, capacity), after_R1)
        with decoding(rows.cache):
            hidden_RTD = self._cohort.base.hidden_states(x_KBTD.flatten(0, 1), position_RT)
            rows.cache.advance(num_prompt)
        if self._frozen:
            rows.cache.freeze()
        self._choose(rows, hidden_RTD[:, -1], 0)
        return rows

    def _advance(self, rows: _Rows, step: int) -> None:
        """One more token of every row."""
        self._timer.step()
        key = (len(rows.next_R), rows.cache.capacity)
        if self._capture and key not in self._graphs:
            with self._timer.start_up():
                self._capture_step(key, lambda: self._token(rows, step), rows)
        if key in self._graphs:
            self._graphs[key].replay()
        else:
            self._token(rows, step)

    def _capture_step(self, key: tuple[int, int], token: Callable[[], None], rows: _Rows) -> None:
        """Captures a step, unless that fails: then this and all later ones run as they are."""
        before = [tensor.clone() for tensor in rows.numbers()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            token()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=self._pool):
                token()
            self._pool = graph.pool()
            self._graphs[key] = graph
        except RuntimeError as error:
            give_up_capturing(self._cohort.base, error, self._note)
            self._capture = False
            self._graphs.clear()
        for tensor, kept in zip(rows.numbers(), before, strict=True):
            tensor.copy_(kept)

    def _token(self, rows: _Rows, step: int) -> None:
        """Reads the newest token of every row and chooses the next; waits for nothing."""
        cohort = self._cohort
        x_KB1D = cohort.embed(rows.next_R.view(len(cohort.slots), -1, 1))
        with decoding(rows.cache):
            hidden_R1D = cohort.base.hidden_states(x_KB1D.flatten(0, 1), rows.position_R1)
            rows.cache.advance(1)
        rows.position_R1 += 1
        self._choose(rows, hidden_R1D[:, -1], step)

    def _choose(self, rows: _Rows, last_RD: Tensor, step: int) -> None:
        logits_RV = self._logits(last_RD)
        if self._frozen:
            block_repeats(logits_RV, rows.generated_RG, self._ngram, rows.written_1)
        else:
            block_repeats(logits_RV, rows.generated_RG[:, :step], self._ngram)
        next_R = torch.where(rows.finished_R, self._end_id, logits_RV.argmax(dim=-1))
        if self._frozen:
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
        return logits.float() if bias is None else logits.float() + bias.float()
