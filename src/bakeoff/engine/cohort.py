"""K slots in one pass over a shared base.

Axis letters: ``K`` slots, ``B`` rows of a slot, ``T`` tokens, ``P`` prompt positions, ``D`` width,
``N`` supervised tokens of a slot, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Final, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from bakeoff.base.experts import ExpertsSite
from bakeoff.base.injection import LinearSite, Site
from bakeoff.base.kernels.fused import prepare_fused
from bakeoff.base.model import Base
from bakeoff.base.prefix import Prefix, prefixed
from bakeoff.engine.join import SoftPrompts, join_prompt, merged_prompts, numbered
from bakeoff.engine.loss import linear_cross_entropy
from bakeoff.engine.optimizer import Part, SlotAdamW
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.slot_groups import SlotGroups, runs
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.registry import stack_type
from bakeoff.methods.stack import Stack, StackHooks
from bakeoff.methods.training_pass import TrainingPass, training_pass

_FEWEST_KINDS: Final = 2
"""Stacks that act in the base's layers, from which on each acts on its own slots alone."""


class Cohort:
    """Slots of candidates over one base; use it as a context, which installs the sites.

    Attributes:
        optimizer: its state for all slots, or None where nothing is trained.
        base: the base that the passes run through.
    """

    def __init__(
        self,
        base: Base,
        methods: Sequence[Method],
        num_slots: int,
        protocol: ProtocolOptions | None = None,
    ) -> None:
        """Allocates the stacks so that any of ``methods`` fits into any slot.

        Args:
            base: the frozen base.
            methods: all the methods that may be seated here, of one execution path unless all
                passes are a ``RowPass``; none gives the untuned base.
            num_slots: K.
            protocol: None allocates no gradients and no optimizer.
        """
        kinds = dict.fromkeys(method.kind for method in methods)
        self.num_slots = num_slots
        self._protocol = protocol
        self.seated: list[Method | None] = [None] * num_slots
        prepare_fused(base.device)  # before any pass: a captured one could not try it
        self.stacks: dict[str, Stack] = {}
        for kind in kinds:
            chosen = [method for method in methods if method.kind == kind]
            self.stacks[kind] = stack_type(kind)(base, chosen, num_slots)
        own = [stack.own_base for stack in self.stacks.values() if stack.own_base is not None]
        self.base = own[0] if own else base
        self.trains_base = bool(own)
        num_values = sum(stack.num_values for stack in self.stacks.values())
        self.optimizer: SlotAdamW | None = None
        if protocol is not None:
            has_ratio_n = None
            if any(method.rate_ratio != 1.0 for method in methods):
                has_ratio_n = torch.cat([stack.has_ratio() for stack in self.stacks.values()])
            self.optimizer = SlotAdamW(
                num_slots,
                num_values,
                device=base.device,
                betas=protocol.betas,
                max_grad_norm=protocol.max_grad_norm,
                scales_loss=base.compute_dtype == torch.float16,
                has_ratio_n=has_ratio_n,
                num_replicated=num_values - sum(s.num_sharded for s in self.stacks.values()),
                states=protocol.optimizer_states,
            )
            values, grads = self.optimizer.values_Kn, self.optimizer.grads_Kn
        else:
            values = torch.zeros((num_slots, num_values), device=base.device)
            grads = None
        self._values_Kn = values
        self._seed_K = torch.zeros(num_slots, dtype=torch.int64, device=base.device)
        self._starts: dict[str, int] = {}
        start = 0
        for kind, stack in self.stacks.items():
            self._starts[kind] = start
            stop = start + stack.num_values
            stack.bind(values[:, start:stop], None if grads is None else grads[:, start:stop])
            start = stop
        self._sites: dict[str, Site] = {}
        self._slots: list[int] = list(range(num_slots))
        self._kinds: list[str | None] = [None] * num_slots
        self._groups: SlotGroups | None = None
        self._hooks = self._hooks_of(self._slots)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        names = [name for hooks in self._hooks for name in hooks.sites]
        ordered = list(dict.fromkeys(names))
        self._sites = self._exit.enter_context(self.base.sites(ordered, self.num_slots))
        with torch.enable_grad():
            self._select(list(range(self.num_slots)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()
        self._sites = {}

    def _hooks_of(self, slots: list[int]) -> list[StackHooks]:
        found = [(stack, stack.hooks(slots)) for stack in self.stacks.values()]
        return [hooks if stack.is_compilable else hooks.apart() for stack, hooks in found]

    def _select(self, slots: list[int]) -> None:
        self._slots, self._groups = slots, None
        self._hooks = self._hooks_of(slots)
        hooks = [{**found.linear, **found.norms} for found in self._hooks]
        inputs = [found.inputs for found in self._hooks]
        products = {name: p for found in self._hooks for name, p in found.products.items()}
        experts = [found.experts for found in self._hooks]
        for name, site in self._sites.items():
            site.num_slots = len(slots)
            if isinstance(site, ExpertsSite):
                site.hooks = [by_name[name] for by_name in experts if name in by_name]
                continue
            site.hooks = [by_name[name] for by_name in hooks if name in by_name]
            if isinstance(site, LinearSite):
                site.input_hooks = [by_name[name] for by_name in inputs if name in by_name]
                site.product = products.get(name)

    @contextmanager
    def only(self, slots: Sequence[int]) -> Iterator[None]:
        """Narrows the passes inside to blocks of some slots, for evaluation.

        Args:
            slots: in the order of the blocks; one may occur again.
        """
        before = self._slots
        self._select(list(slots))
        try:
            yield
        finally:
            with torch.enable_grad():
                self._select(before)

    @torch.no_grad()
    def acting(self, slot: int, *, settled: bool = False) -> StackHooks:
        """Where the slot's candidate acts, on views of its tensors; an empty slot's does nowhere.

        It holds until the slot is seated or vacated, or something is trained.

        Args:
            slot: which. settled: whether what follows from the tensors is computed once and kept,
                which takes at most another copy of them in compute dtype.
        """
        method = self.seated[slot]
        if method is None:
            return StackHooks()
        stack = self.stacks[method.kind]
        return stack.settled_hooks(slot) if settled else stack.hooks(range(slot, slot + 1))

    @property
    def slots(self) -> list[int]:
        """The slots that the present passes are for."""
        return self._slots

    @property
    def hooks(self) -> list[StackHooks]:
        """Where each stack acts in the present passes."""
        return self._hooks

    @contextmanager
    def training_pass(self, first_row: Tensor, num_rows: int) -> Iterator[None]:
        """Gives the stacks the position of training for the forward and backward pass inside.

        Args:
            first_row: [] int64 on the device, rows of this update that each slot has passed
                before.
            num_rows: rows of each slot in this pass.
        """
        assert self.optimizer is not None
        now = TrainingPass(
            seed_K=self._seed_K,
            update_K=self.optimizer.num_updates_K.long(),
            first_row=first_row,
            num_rows=num_rows,
        )
        with training_pass(now):
            yield

    def penalty(self) -> Tensor | None:
        """[K] nats that the methods add to their slots' losses, or None."""
        found = [p for stack in self.stacks.values() if (p := stack.penalty()) is not None]
        return torch.stack(found).sum(dim=0) if found else None

    def after_update(self) -> None:
        """Tells the stacks that the optimizer has made an update."""
        self._groups = None
        for stack in self.stacks.values():
            stack.after_update()

    def seat(self, slot: int, method: Method, tensors: Mapping[str, Tensor], seed: int = 0) -> None:
        """Gives the slot to a candidate with these tensors; its optimizer starts again.

        Args:
            slot: which. method: the candidate's. tensors: its tensors.
            seed: the candidate's, for what is drawn while it trains.
        """
        self.vacate(slot)
        self._seed_K[slot] = seed
        stack = self.stacks[method.kind]
        stack.place(slot, method, tensors)
        self.seated[slot] = method
        if self.optimizer is not None:
            assert self._protocol is not None
            decay = self._protocol.decay_of(method.spec.weight_decay)
            self.optimizer.reset(slot, weight_decay=decay, rate_ratio=method.rate_ratio)
        self.hold(slot, method)

    def hold(self, slot: int, method: Method) -> None:
        """Lets the slot be one of the method's kind, with a candidate or without.

        It stays so when the candidate leaves: the others' groups, and with them every bit, stay.
        """
        self._kinds[slot], self._groups = method.kind, None
        if self.optimizer is not None:
            self.optimizer.limit_to(self._trained_parts())

    def vacate(self, slot: int) -> None:
        """Puts the null element into the slot."""
        self.seated[slot] = self._groups = None
        if self.optimizer is not None:
            self.optimizer.vacate(slot)
        else:
            self._values_Kn[slot] = 0
        for stack in self.stacks.values():
            stack.vacate(slot)

    @property
    def is_capturable(self) -> bool:
        """Whether an update may be captured: no stack asks the device for anything."""
        return all(stack.is_capturable for stack in self.stacks.values())

    def take(self, slot: int) -> Tensors:
        """Copies the tensors of the slot's candidate to the CPU."""
        method = self.seated[slot]
        assert method is not None, "an empty slot has no tensors"
        return self.stacks[method.kind].take(slot, method)

    def snapshot(self, slot: int) -> Tensors:
        """Everything that the slot's candidate needs to go on, in whatever cohort, on the CPU.

        Returns:
            Its values and AdamW's moments, in the method's own shapes, and ``counters``.
        """
        method, optimizer = self.seated[slot], self.optimizer
        assert method is not None and optimizer is not None, "only what is trained has a state"
        stack, start = self._stack_of(method)
        parts = {"values": stack.take(slot, method)}
        for part, row_n in optimizer.moments(slot).items():
            parts[part] = stack.cut(row_n[start : start + stack.num_values], method)
        parts["memory"] = stack.memory(slot)
        named = {f"{part}/{name}": t for part, found in parts.items() for name, t in found.items()}
        return {**named, "counters": optimizer.counters(slot)}

    def restore(
        self, slot: int, method: Method, snapshot: Mapping[str, Tensor], seed: int = 0
    ) -> None:
        """Seats a candidate where a snapshot left it; nothing of it starts again."""

        def part(prefix: str) -> Tensors:
            return {name: snapshot[f"{prefix}/{name}"] for name in method.shapes}

        self.seat(slot, method, part("values"), seed)
        optimizer = self.optimizer
        assert optimizer is not None, "only what is trained has a state"
        stack, start = self._stack_of(method)
        rows = optimizer.moments(slot)
        for prefix, row_n in rows.items():
            stack.fill(row_n[start : start + stack.num_values], part(prefix))
        optimizer.set_moments(slot, rows)
        optimizer.set_counters(slot, snapshot["counters"])
        prefix = "memory/"
        kept = {n.removeprefix(prefix): t for n, t in snapshot.items() if n.startswith(prefix)}
        stack.recall(slot, kept)
        self._groups = None

    def _stack_of(self, method: Method) -> tuple[Stack, int]:
        """The method's stack, and where its values start in an optimizer's row."""
        return self.stacks[method.kind], self._starts[method.kind]

    def _trained_parts(self) -> list[Part] | None:
        """What the slots' kinds train of the optimizer's rows, on a CPU; None for everything.

        A captured update reads and writes the same memory in every replay, with any seats.
        """
        if len(self.stacks) == 1 or self.base.device.type != "cpu" or self.base.is_sharded:
            return None
        parts = []
        for kind, slots in runs(self._kinds):
            if kind is not None:
                start = self._starts[kind]
                numbers = slice(start, start + self.stacks[kind].num_values)
                parts.append(Part(slots=slots, numbers=numbers))
        return parts

    @property
    def added_positions(self) -> int:
        """The most positions that come before a row's tokens: those of the longest prompt and of
        the longest prefix."""
        prompts = [hooks.prompt()[0] for hooks in self._hooks if hooks.prompt is not None]
        prefixes = [hooks.prefix() for hooks in self._hooks if hooks.prefix is not None]
        of_prompts = max((vectors_KPD.shape[1] for vectors_KPD in prompts), default=0)
        return of_prompts + max((prefix.num_positions for prefix in prefixes), default=0)

    def embed(self, ids_KBT: Tensor) -> Tensor:
        """[K, B, T] token ids to [K, B, T, D] embeddings in compute dtype."""
        for hooks in self._hooks:
            if hooks.embedding_weight is not None:
                weight_KVD = hooks.embedding_weight()
                num_slots, vocabulary, width = weight_KVD.shape
                offset_K = torch.arange(num_slots, device=ids_KBT.device) * vocabulary
                flat = weight_KVD.reshape(-1, width)
                embeds = F.embedding(ids_KBT + offset_K[:, None, None], flat)
                return embeds.to(self.base.compute_dtype)
        embeds_KBTD: Tensor = self.base.embedding(ids_KBT.flatten(0, 1))
        return embeds_KBTD.view(*ids_KBT.shape, -1)

    def prompts(self) -> SoftPrompts | None:
        """([K, P, D] vectors in compute dtype, [K] how many count) of the present slots.

        None where no present slot is of a kind with prompts: a slot that is evaluated alone reads
        no padding for its neighbours' prompts.
        """
        present = {self._kinds[slot] for slot in self._slots}
        found = [
            hooks.prompt()
            for kind, hooks in zip(self.stacks, self._hooks, strict=True)
            if hooks.prompt is not None and kind in present
        ]
        return merged_prompts(found, self.base.compute_dtype)

    def prefix(self) -> Prefix | None:
        """Keys and values before the tokens' of the present slots, in compute dtype."""
        for hooks in self._hooks:
            if hooks.prefix is not None:
                return hooks.prefix().to(self.base.compute_dtype)
        return None

    def hidden_states(self, ids_KBT: Tensor) -> tuple[Tensor, Tensor | None]:
        """One pass over right-padded rows.

        Args:
            ids_KBT: [K, B, T].

        Returns:
            ([K, B, P + T, D] hidden states, [K] how far each slot's tokens moved to the right, or
            None where no slot has a prompt).
        """
        x_KBTD = self.embed(ids_KBT)
        prompt = self.prompts()
        lengths_K: Tensor | None = None
        if prompt is not None:
            x_KBTD, lengths_K = join_prompt(prompt, x_KBTD)
        num_slots, rows, positions, _ = x_KBTD.shape
        place_T = torch.arange(positions, device=x_KBTD.device)
        if lengths_K is None:
            position_ids = place_T.expand(num_slots * rows, positions)
        else:
            number_KT = numbered(place_T, lengths_K, ids_KBT.shape[2])
            position_ids = number_KT.repeat_interleave(rows, dim=0)
        prefix = self.prefix()
        if prefix is not None:
            position_ids = position_ids + prefix.lengths_K.repeat_interleave(rows)[:, None]
        with self.autocast(), prefixed(prefix), self._acting_by_kind(rows):
            hidden = self.base.hidden_states(x_KBTD.flatten(0, 1), position_ids)
        return hidden.view(num_slots, rows, positions, -1), lengths_K

    def _acting_by_kind(self, rows: int) -> AbstractContextManager[None]:
        """On a CPU, lets every stack act on the slots of its own kind alone in the pass inside.

        Acting on all slots, with the null element in those of other kinds, is one piece of work
        for all seats, as compiled and captured passes need it. On a CPU each kind's work on
        others' slots is time and memory: with seven kinds seven times.

        Args:
            rows: of each slot.
        """
        is_eager = self.base.device.type == "cpu" and not self.base.is_compiled
        if not is_eager or sum(bool(hooks.sites) for hooks in self._hooks) < _FEWEST_KINDS:
            return nullcontext()
        groups = self._groups
        if groups is None:
            groups = SlotGroups.of(self.stacks, self._kinds, self._slots)
            if not torch.is_grad_enabled():
                self._groups = groups
        return groups.acting(rows)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Mixed precision where float32 weights are trained in place; else nothing."""
        dtype = self.base.compute_dtype
        enabled = self.trains_base and dtype != torch.float32
        with torch.autocast(self.base.device.type, dtype=dtype, enabled=enabled):
            yield

    def head(self) -> tuple[Tensor, Tensor | None]:
        """The head's ([V, D] or [K, V, D] weight, bias) for the present slots."""
        for hooks in self._hooks:
            if hooks.head_weight is not None:
                return hooks.head_weight(), self.base.head.bias
        return self.base.head.weight, self.base.head.bias

    def losses(
        self,
        ids_KBT: Tensor,
        source_KN: Tensor,
        targets_KN: Tensor,
        mask_KN: Tensor,
        scale_K: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """NLL of supervised tokens after a pass through the base.

        Args:
            ids_KBT: [K, B, T] right-padded rows.
            source_KN: [K, N] flat index (row * T + position) of the predicting position.
            targets_KN: [K, N] token ids. mask_KN: [K, N] which of them count.
            scale_K: [K] factors of the sums, as ``linear_cross_entropy`` takes them.

        Returns:
            ([K] sums in nats times ``scale_K``, [K, N] each token's in nats, detached).
        """
        num_tokens = ids_KBT.shape[-1]
        hidden_KBTD, lengths_K = self.hidden_states(ids_KBT)
        if lengths_K is not None:
            row = torch.div(source_KN, num_tokens, rounding_mode="floor")
            moved = source_KN - row * num_tokens + lengths_K[:, None]
            source_KN = row * hidden_KBTD.shape[2] + moved
        flat = hidden_KBTD.flatten(1, 2)
        index = source_KN[..., None].expand(-1, -1, flat.shape[-1])
        return self.head_losses(flat.gather(1, index), targets_KN, mask_KN, scale_K)

    def head_losses(
        self,
        hidden_KND: Tensor,
        targets_KN: Tensor,
        mask_KN: Tensor,
        scale_K: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Like ``losses``, from hidden states at the supervised positions."""
        weight, bias = self.head()
        cap = self.base.logit_cap
        # Under mixed precision the last norm gives float32, and so would the vocabulary's products.
        hidden_KND = hidden_KND.to(self.base.compute_dtype)
        return linear_cross_entropy(hidden_KND, weight, bias, targets_KN, mask_KN, scale_K, cap)
