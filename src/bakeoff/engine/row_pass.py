"""One pass over rows of any slots, in any order and number.

Training computes K slots of B rows each. Here every row names its slot. Rows are sorted by slot
into groups of whatever size, the frozen base computes for all of them at once, and what belongs to
one slot acts on views of its group. Where the groups happen to be a block of the cohort's present
slots, they are computed as one.

Axis letters: ``R`` rows, ``G`` groups, ``T`` tokens, ``P`` prompt positions, ``D`` width,
``V`` vocabulary, ``N`` hidden states, ``n`` tokens after them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bakeoff.base.prefix import Prefix, prefixed
from bakeoff.base.row_groups import RowGroups, grouped
from bakeoff.base.transfer import to_device
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.grouped_rows import GroupedRows
from bakeoff.engine.join import SoftPrompts, join_left, join_prompt, merged_prompts, numbered
from bakeoff.engine.loss import chunk_tokens
from bakeoff.methods.stack import StackHooks

Ints = NDArray[np.int64]


class RowPass(GroupedRows):
    """Rows sorted by slot; use it as a context, more than once if need be, in one thread.

    What it takes and gives is in the order of the pass, except for ``hidden_states``.

    Attributes:
        order_R: [R] which of the rows, as they were asked for, stands at each place of the pass.
        slots: of the groups, rising. sizes: rows of each.
    """

    def __init__(
        self,
        cohort: Cohort,
        slot_R: Sequence[int] | Ints,
        known: dict[int, StackHooks] | None = None,
    ) -> None:
        """Sorts the rows.

        Args:
            cohort: entered.
            slot_R: the slot of each row; at least one.
            known: where slots act, found by earlier passes and kept by the caller for as long as
                nothing is trained, seated or vacated.

        Raises:
            IndexError: for a slot that the cohort does not have.
        """
        named_R = np.asarray(slot_R, dtype=np.int64)
        slots, sizes = np.unique(named_R, return_counts=True)
        if not len(slots) or slots[0] < 0 or slots[-1] >= cohort.num_slots:
            raise IndexError(
                f"rows of slots {slots.tolist()}: name one row or more, and slots from 0 to "
                f"{cohort.num_slots - 1}"
            )
        self._cohort = cohort
        self.order_R: Ints = np.argsort(named_R, kind="stable")
        self.slots: list[int] = slots.tolist()
        known = {} if known is None else known
        for slot in self.slots:
            if slot not in known:
                known[slot] = cohort.acting(slot)
        super().__init__(cohort.base, sizes.tolist(), [known[slot] for slot in self.slots])
        is_block = (
            self.slots == cohort.slots
            and len(set(self.sizes)) == 1
            and len({m.execution_path for m in cohort.seated if m is not None}) <= 1
        )
        self._groups = None if is_block else RowGroups(sizes=self.sizes, acting=self._acting)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self._exit.enter_context(grouped(self._groups))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def is_block(self) -> bool:
        """Whether the sites compute it as a block of the cohort's present slots."""
        return self._groups is None

    @cached_property
    def group_of_row(self) -> Tensor:
        """[R] the number of each row's group, on the device."""
        number_G = np.arange(len(self.sizes))
        return to_device(np.repeat(number_G, self.sizes), self._cohort.base.device)

    @cached_property
    def prompts(self) -> SoftPrompts | None:
        """([R, P, D] vectors, [R] how many count) of the rows; None where no slot has a prompt."""
        stacks = [self._cohort.stacks[kind] for kind in self._kinds_with("prompt")]
        hooks = [stack.hooks(self.slots).prompt for stack in stacks]
        found = [prompt() for prompt in hooks if prompt is not None]
        merged = merged_prompts(found, self._cohort.base.compute_dtype)
        if merged is None:
            return None
        vectors_GPD, lengths_G = (t.index_select(0, self.group_of_row) for t in merged)
        return vectors_GPD, lengths_G

    @cached_property
    def prefix(self) -> Prefix | None:
        """Keys and values before the rows' tokens, in compute dtype; None where no slot has any."""
        for kind in self._kinds_with("prefix"):
            found = self._cohort.stacks[kind].hooks(self.slots).prefix
            assert found is not None
            prefix = found().to(self._cohort.base.compute_dtype)
            return replace(prefix, slot_R=self.group_of_row)
        return None

    def _kinds_with(self, part: str) -> list[str]:
        """Of the methods of these slots, those that have something before the tokens."""
        found = []
        for slot, acting in zip(self.slots, self._acting, strict=True):
            method = self._cohort.seated[slot]
            if method is not None and getattr(acting, part) is not None:
                found.append(method.kind)
        return list(dict.fromkeys(found))

    def hidden_states(self, ids_RT: Tensor) -> tuple[Tensor, Tensor | None]:
        """One pass over right-padded rows, in the order in which they were asked for.

        Args:
            ids_RT: [R, T].

        Returns:
            ([R, P + T, D] hidden states, [R] how far each row's tokens moved to the right, or None
            where no slot has a prompt).
        """
        device = ids_RT.device
        hidden, lengths_R = self.read(ids_RT[to_device(self.order_R, device)])
        back_R = to_device(np.argsort(self.order_R), device)
        return hidden[back_R], None if lengths_R is None else lengths_R[back_R]

    def read(self, ids_RT: Tensor) -> tuple[Tensor, Tensor | None]:
        """As ``hidden_states``, in the order of the pass."""
        cohort = self._cohort
        x_RTD, lengths_R = self.embed(ids_RT), None
        if self.prompts is not None:
            x_R1TD, lengths_R = join_prompt(self.prompts, x_RTD[:, None])
            x_RTD = x_R1TD[:, 0]
        rows, positions = x_RTD.shape[:2]
        place_T = torch.arange(positions, device=x_RTD.device)
        if lengths_R is None:
            token_RT = place_T.expand(rows, positions)
        else:
            token_RT = numbered(place_T, lengths_R, ids_RT.shape[1])
        with cohort.autocast(), prefixed(self.prefix):
            return cohort.base.hidden_states(x_RTD, self.positions(token_RT)), lengths_R

    def positions(self, token_RT: Tensor) -> Tensor:
        """[R, T] positions of tokens by their numbers in their rows: a prefix comes first."""
        if self.prefix is None:
            return token_RT
        return token_RT + self.prefix.by_row(self.prefix.lengths_K, len(token_RT))[:, None]

    def left_padded(self, ids_RT: Tensor, num_padding_R: Tensor) -> tuple[Tensor, Tensor]:
        """Embeds left-padded prompts, each soft prompt right before its row's first token.

        Returns:
            ([R, P + T, D], [R] how many of the first positions are padding).
        """
        x_R1TD = self.embed(ids_RT)[:, None]
        joined, padding_R1 = join_left(self.prompts, x_R1TD, num_padding_R[:, None])
        return joined[:, 0], padding_R1[:, 0]

    def nlls(self, hidden_ND: Tensor, row_N: Ints, state_n: Ints, target_n: Ints) -> Tensor:
        """Negative log-likelihood of tokens, of which several may follow one hidden state.

        The logits of a state are computed once for all of them, some states at a time.

        Args:
            hidden_ND: [N, D]. row_N: [N] the place in the pass of each one's row, rising.
            state_n: [n] the state that each token follows, rising. target_n: [n] the tokens.

        Returns:
            [n] float32 nats, on the device.
        """
        device = hidden_ND.device
        state_on_device, target_on_device = (to_device(a, device) for a in (state_n, target_n))
        base = self._cohort.base
        size = chunk_tokens(device, base.vocabulary * base.width)
        found = [torch.zeros(0, device=device)]
        for first_row, last_row, weight_VD in self._heads(hidden_ND.dtype):
            first, last = np.searchsorted(row_N, [first_row, last_row]).tolist()
            for start in range(first, last, size):
                stop = min(last, start + size)
                a, b = np.searchsorted(state_n, [start, stop]).tolist()
                logits_CV = self._logits(hidden_ND[start:stop], weight_VD)
                total_C = logits_CV.logsumexp(dim=-1)
                state = state_on_device[a:b] - start
                own = logits_CV[state, target_on_device[a:b]]
                found.append(total_C[state] - own)
        return torch.cat(found)
