"""Places in the base where a method may act: a linear layer or a norm.

A site computes the frozen layer and hands input and output to each installed hook, grouped by
slot. The rows of a batch are always grouped by slot, so any flattening that a model does keeps the
groups whole and one ``reshape`` brings the slot axis back. Where slots have different numbers of
rows there is no such axis, and each slot's hooks get its rows (``row_groups.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from bakeoff.base.experts import ExpertsSite, is_experts
from bakeoff.base.quantized.linear import QuantizedLinear
from bakeoff.base.row_groups import RowGroups, present_groups
from bakeoff.base.shared_inputs import Turn
from bakeoff.errors import ConfigError

LinearHook = Callable[[Tensor, Tensor], Tensor]
"""Maps a layer's ([K, N, D] input, [K, N, E] output) to a new [K, N, E]; norms have E = D."""
InputHook = Callable[[Tensor], Tensor]
"""Maps a linear layer's [K, N, D] input to the one that the layer is to see."""
LinearProduct = Callable[[Tensor], Tensor]
"""Maps a linear layer's [K, N, D] input to its [K, N, E] output, in place of the frozen layer."""


class Apart:
    """A hook that runs as it is written, between parts of a layer that are compiled.

    For one that knows its layer's name or counts passes: compiled with the layer, it would be
    compiled again for every layer, or in every pass.
    """

    def __init__(self, hook: Callable[..., Tensor]) -> None:
        self._hook = hook

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, *tensors: Tensor) -> Tensor:
        """As the hook."""
        return self._hook(*tensors)


class _Slotted(nn.Module):
    """What a frozen layer is wrapped in while something acts on it.

    Attributes:
        name: the layer's full name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._sizes_KR = torch.empty(1, 1, 0)

    @property
    def num_slots(self) -> int:
        """K, which compiled code reads from a shape, so that another K compiles nothing."""
        return self._sizes_KR.shape[0]

    @num_slots.setter
    def num_slots(self, num_slots: int) -> None:
        self._sizes_KR = torch.empty(num_slots, 1, 0)

    @property
    def rows_of_each(self) -> int:
        """R, rows of each slot in a compiled pass: what ``expect_rows`` has said."""
        return self._sizes_KR.shape[1]

    def take_sizes(self, sizes_KR: Tensor) -> None:
        """Takes slots and rows from the shape of an empty tensor, [K, R, 0]."""
        self._sizes_KR = sizes_KR

    def _by_slot(self, x: Tensor) -> Tensor:
        """[..., D] as [K, N, D]."""
        positions = self._positions(x)
        # Flat first, and from an axis more: else it is compiled in whether there are as many rows
        # as slots, by a reshape that looks and by the pass that removes views without effect.
        return x[None].flatten(0, -2).view(self.num_slots, positions, x.shape[-1])

    def _as_before(self, x_KND: Tensor, like: Tensor) -> Tensor:
        """[K, N, D] with the leading axes of ``like``."""
        positions = self._positions(like)
        if positions != -1:  # what a hook that is not compiled has given is of unknown size
            torch._check(x_KND.shape[0] == self.num_slots)
            torch._check(x_KND.shape[1] == positions)
        return x_KND[None].flatten(0, 2).view(*like.shape[:-1], x_KND.shape[-1])

    def _positions(self, x: Tensor) -> int:
        """N of a [B, T, D] tensor as the compiler is to know it, else -1.

        Rows that are known as a product of two sizes leave no quotient in the sizes and indices
        that follow, which the compiler would simplify for minutes (``docs/experiments.md``).
        """
        if x.dim() != 3 or not torch.compiler.is_compiling():
            return -1
        torch._check(x.shape[0] == self.num_slots * self.rows_of_each)
        return self.rows_of_each * x.shape[1]


def expect_rows(sites: Sequence[_Slotted], num_rows: int) -> None:
    """Says to a base's sites how many rows the next compiled pass has, all slots' together.

    They get one tensor, from which the compiler knows that their sizes are the same.
    """
    if not sites:
        return
    num_slots = sites[0].num_slots
    sizes_KR = torch.empty(num_slots, num_rows // num_slots, 0)
    for site in sites:
        site.take_sizes(sizes_KR)


class LinearSite(_Slotted):
    """A frozen linear layer to whose output the installed hooks may add.

    Axis letters: ``K`` slots, ``N`` positions of all the slot's rows, ``D`` width in, ``E`` out.
    """

    def __init__(self, linear: nn.Module, name: str = "") -> None:
        super().__init__(name)
        self.linear = linear
        self.in_features, self.out_features = linear_shape(linear)
        self.hooks: list[LinearHook] = []
        self.input_hooks: list[InputHook] = []
        self.product: LinearProduct | None = None
        self.turn: Turn[Tensor | Sequence[Tensor]] | None = None

    @property
    def weight(self) -> Tensor:
        """The frozen layer's weight: some models read its dtype."""
        weight: Tensor = self.linear.weight  # type: ignore[assignment]
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., E], as the hooks have it."""
        groups = present_groups()
        if groups is not None:
            return self._by_group(x, groups)
        if self.input_hooks:
            x_KND = self._by_slot(x)
            for input_hook in self.input_hooks:
                x_KND = input_hook(x_KND)
            x = self._as_before(x_KND, x)
        if self.product is None:
            y: Tensor = self.linear(x)
        else:
            y = self._as_before(self.product(self._by_slot(x)), x)
        if not self.hooks:
            if self.turn is not None:
                self.turn.take()
            return y
        # Layers that read the same get the same view of it, by which hooks know that they do.
        seen_KND = _once(self.turn, x, self._by_slot)
        y_KNE = self._by_slot(y)
        for hook in self.hooks:
            y_KNE = hook(seen_KND, y_KNE)
        return self._as_before(y_KNE, y)

    def _by_group(self, x: Tensor, groups: RowGroups) -> Tensor:
        """The same with each group's own hooks; the frozen layer computes for all that want it."""
        inputs = [acting.inputs.get(self.name) for acting in groups.acting]
        products = [acting.products.get(self.name) for acting in groups.acting]
        hooks = [acting.linear.get(self.name) for acting in groups.acting]
        if any(inputs):
            x = _read(groups, inputs, x)
        if any(products):
            parts = zip(groups.split(x), products, strict=True)
            y = groups.join([self.linear(p) if f is None else f(p) for p, f in parts], x)
        else:
            y = self.linear(x)
        return _hooked(groups, hooks, x, y, self.turn)


class NormSite(_Slotted):
    """A frozen norm whose output the installed hooks may change."""

    def __init__(self, norm: nn.Module, name: str = "") -> None:
        super().__init__(name)
        self.norm = norm
        self.hooks: list[LinearHook] = []

    @property
    def weight(self) -> Tensor:
        """The frozen norm's weight: some models read its dtype."""
        weight: Tensor = self.norm.weight  # type: ignore[assignment]
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D], as the hooks have it."""
        y: Tensor = self.norm(x)
        groups = present_groups()
        if groups is not None:
            return _hooked(groups, [acting.norms.get(self.name) for acting in groups.acting], x, y)
        if not self.hooks:
            return y
        x_KND, y_KND = self._by_slot(x), self._by_slot(y)
        for hook in self.hooks:
            y_KND = hook(x_KND, y_KND)
        return self._as_before(y_KND, y)


def _read(groups: RowGroups, hooks: Sequence[InputHook | None], x: Tensor) -> Tensor:
    """What a layer reads, as each group's hook has it; ``x`` stays, as others read it too."""
    if torch.is_grad_enabled():
        parts = zip(groups.split(x), hooks, strict=True)
        return groups.join([x_1ND if f is None else f(x_1ND) for x_1ND, f in parts], x)
    x = x.clone(memory_format=torch.contiguous_format)
    for x_1ND, hook in zip(groups.split(x), hooks, strict=True):
        if hook is not None:
            _put(x_1ND, hook(x_1ND))
    return x


def _once(turn: Turn[Any] | None, x: Tensor, view: Callable[[Tensor], Any]) -> Any:
    """The view of a layer's input, made by the first of the layers that read it together."""
    if turn is None:
        return view(x)
    if turn.place == 0:
        return turn.leave(x, view(x))
    found = turn.found(x)
    return view(x) if found is None else found


def _hooked(
    groups: RowGroups,
    hooks: Sequence[LinearHook | None],
    x: Tensor,
    y: Tensor,
    turn: Turn[Any] | None = None,
) -> Tensor:
    """A layer's output ``y`` for the input ``x``, as each group's hook has it.

    Where nothing is trained, only the rows of groups with a hook are written, over what the frozen
    layer gave: with many groups, taking all rows apart and joining them costs more than the hooks.
    """
    if not any(hooks):
        if turn is not None:
            turn.take()
        return y
    parts_of_x = _once(turn, x, groups.split)
    if torch.is_grad_enabled():
        parts = zip(parts_of_x, groups.split(y), hooks, strict=True)
        return groups.join([b if hook is None else hook(a, b) for a, b, hook in parts], y)
    y = y.contiguous()  # so that its parts are views, and not of a copy
    for x_1ND, y_1NE, hook in zip(parts_of_x, groups.split(y), hooks, strict=True):
        if hook is not None:
            _put(y_1NE, hook(x_1ND, y_1NE))
    return y


def _put(part: Tensor, found: Tensor) -> None:
    """Writes what a hook found over a part, unless it has done so itself."""
    if found is not part:
        part.copy_(found)


Site = LinearSite | NormSite | ExpertsSite


def site_of(layer: nn.Module, name: str) -> Site:
    """The site that replaces a linear layer, a norm or a layer of experts of this full name.

    Raises:
        TypeError: for any other layer.
    """
    if is_experts(layer):
        return ExpertsSite(layer, name)
    return NormSite(layer, name) if is_norm(layer) else LinearSite(layer, name)


def is_norm(layer: nn.Module) -> bool:
    """Whether a layer is a norm with a weight vector.

    Transformers has no common class for them: a norm is what is called one and has such a weight.
    """
    if "norm" not in type(layer).__name__.lower():
        return False  # before its weight is asked for, which a quantised layer would unpack
    weight = getattr(layer, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() == 1


def unsited(module: nn.Module) -> nn.Module:
    """The frozen layer itself, whether a site replaces it now or not."""
    if isinstance(module, LinearSite):
        return module.linear
    if isinstance(module, ExpertsSite):
        return module.experts
    return module.norm if isinstance(module, NormSite) else module


def linear_shape(linear: nn.Module) -> tuple[int, int]:
    """(in, out) features of an ``nn.Linear`` or of Transformers' ``Conv1D``."""
    if isinstance(linear, Conv1D):
        num_in, num_out = linear.weight.shape
        return int(num_in), int(num_out)
    if isinstance(linear, nn.Linear):
        return linear.in_features, linear.out_features
    raise TypeError(f"{type(linear).__name__} is not a linear layer")


def keeps_transposed(linear: nn.Module) -> bool:
    """Whether a linear layer's parameter is [in, out] in the model's files, as ``Conv1D`` has it.

    A quantised layer counts as what it was made from.
    """
    if isinstance(linear, QuantizedLinear):
        return linear.was_transposed
    return isinstance(linear, Conv1D)


_OF_ONE_EXPERT: Final = re.compile(r"(^|\.)experts\.\d+\.")


def _is_linear(layer: nn.Module) -> bool:
    """Whether a layer gives the product alone: some routers are linear layers that also choose."""
    is_router = "router" in type(layer).__name__.lower()
    return isinstance(layer, nn.Linear | Conv1D) and not is_router


def linear_layers(model: nn.Module, *, head: nn.Module | None) -> dict[str, nn.Module]:
    """All linear layers of ``model`` by full name, in order, except the head.

    Layers of one expert see the positions that are routed to it, of which slot is unknown: they
    are left out, and so stay frozen.
    """
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        if isinstance(module, LinearSite):
            found[name] = module.linear
        elif _is_linear(module) and module is not head and not _OF_ONE_EXPERT.search(name):
            parent = model.get_submodule(name.rpartition(".")[0])
            if not isinstance(parent, LinearSite):
                found[name] = module
    return found


def select_linear_layers(
    names: Sequence[str], targets: str | Sequence[str], *, where: str
) -> list[str]:
    """The layers that ``targets`` means, by the rules of PEFT's ``target_modules``.

    Args:
        names: full names of the base's linear layers, in order.
        targets: ``"all-linear"``, a regular expression that a full name must match as a whole, or
            a list of names or ends of names.
        where: the option's path, for the error.

    Raises:
        ConfigError: if one of the targets matches nothing, or the expression is not valid.
    """
    endings = sorted({name.rpartition(".")[2] for name in names})
    if targets == "all-linear":
        return list(names)
    if isinstance(targets, str):
        try:
            pattern = re.compile(targets)
        except re.error as error:
            raise ConfigError(
                f"{where}: {targets!r} is not a valid regular expression ({error}); "
                f"give a list of layer names instead, such as [{', '.join(endings[:3])}]"
            ) from None
        chosen = [name for name in names if pattern.fullmatch(name)]
        if not chosen:
            raise ConfigError(
                f"{where}: the regular expression {targets!r} matches no linear layer of the base "
                f"as a whole; the first layer is {names[0] if names else '(none)'!r}, and the "
                f"names end in {', '.join(endings)}"
            )
        return chosen
    chosen_set: set[str] = set()
    for target in targets:
        matching = {n for n in names if n == target or n.endswith("." + target)}
        if not matching:
            near = get_close_matches(target, endings, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ConfigError(
                f"{where}: {target!r} matches no linear layer of the base{hint} "
                f"Linear layers end in: {', '.join(endings)} (or use all-linear)"
            )
        chosen_set |= matching
    if not chosen_set:
        raise ConfigError(
            f"{where}: an empty list targets nothing; name layers that end in "
            f"{', '.join(endings)}, or use all-linear"
        )
    return [name for name in names if name in chosen_set]
