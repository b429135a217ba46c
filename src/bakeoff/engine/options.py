"""The protocol: what every candidate is trained by, whatever its method."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import cos, pi
from typing import Any, Final, Literal

from bakeoff.errors import ConfigError
from bakeoff.types import OptimizerStates

SEARCHED_OF_PROTOCOL: Final = (
    "epochs",
    "micro_batch_size",
    "grad_accum_steps",
    "max_grad_norm",
    "weight_decay",
    "warmup_ratio",
)
"""Settings of the protocol that a search may vary; candidates that differ in one share no pass."""
_MOST_ROWS = 65536
_MOST_SEEDS = 1000
_MOST_EPOCHS = 1_000_000
_LARGEST = 1e6
_SMALLEST_NORM = 1e-12
_SEARCH_SEED = 1000
"""Beyond every count of seeds, so that an id says what a candidate was for."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How passes are computed; results agree up to rounding whatever is chosen."""

    compile: bool | Literal["auto"] = "auto"
    """Whether the base's layers are compiled; ``auto``: on a GPU, and on a CPU that computes in
    bfloat16 with a C++ compiler at hand where training takes long enough to make up for it."""
    cuda_graph: bool | Literal["auto"] = "auto"
    """Whether an update, and a token of generation, is captured in a graph; ``auto``: on a GPU."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Whether a layer's activations are computed again in the backward pass instead of kept: less
    memory, a third more time; ``auto``: where the study fits no other way."""
    join_micro_batches: bool = False
    """Whether on a GPU micro-batches whose gradients are added up share a pass, as long as all
    slots have no more than 32,768 tokens in it: fewer and larger passes, and more memory than
    ``protocol.micro_batch_size`` says. Where the study does not fit so, they do not."""
    deterministic: bool = False
    """Whether only kernels compute that give the same bits for the same input
    (``torch.use_deterministic_algorithms``, a fixed cuBLAS workspace of 32 MiB a stream): without
    it, training on a GPU that is resumed agrees with training that was not up to rounding. It makes
    sums over rows and gradients of gathers slower, and refuses a base for which there is no such
    kernel. A CPU in float32 needs none of it."""

    def compiles_on(self, kind: str) -> bool:
        """Whether layers are compiled on a kind of device: ``auto`` does on a GPU, and on a CPU not
        until the study says so."""
        return kind == "cuda" if self.compile == "auto" else self.compile

    @property
    def recomputes(self) -> bool:
        """Whether activations are computed again: ``auto`` does not, until the plan says so."""
        return self.gradient_checkpointing is True


@dataclass(frozen=True, kw_only=True)
class AdaptiveSeeds:
    """More seeds only where they are needed: looks at 3, 5 and 10, as far as within the bounds."""

    at_least: int = 3
    """Seeds of every method; the first look comes no sooner."""
    at_most: int = 10
    """Seeds of a method that is still undecided; the last look comes no later."""

    def __post_init__(self) -> None:
        if not 1 <= self.at_least <= self.at_most:
            raise ConfigError(
                f"at_least: {self.at_least} must be at least 1 and at most at_most, which is "
                f"{self.at_most}"
            )
        _ = self.looks

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds at which test scores are looked at, rising.

        Raises:
            ConfigError: where none is within the bounds.
        """
        from bakeoff.decide.referee.looks import look_alphas  # heavy, and few studies look

        return tuple(look_alphas(1.0, at_least=self.at_least, at_most=self.at_most))


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """One training protocol for all candidates of a study."""

    epochs: int = 2
    """Passes over the training set, at most. A study has its kind's: 3 for labels and choices, 1
    for plain texts, 2 for the others."""
    micro_batch_size: int = 16
    """Rows of one forward and backward pass of one candidate."""
    grad_accum_steps: int = 2
    """Micro-batches of one update. A study has as many as make its kind's rows of one: 16 for
    labels and choices, 32 for the others."""
    max_grad_norm: float | None = 1.0
    """Largest norm of a candidate's gradient; null does not clip. ``clip_norm`` is an older name of
    this key."""
    weight_decay: float | None = None
    """AdamW's decoupled weight decay; null takes each method's own: none for adapters, 0.01 for the
    base's own weights."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay rates of the first and second moment."""
    optimizer_states: OptimizerStates = "32bit"
    """In what AdamW's moments are held: ``8bit`` takes 2 bytes a trained number instead of 8, by
    blocks of 256 numbers as bitsandbytes' ``AdamW8bit``. For large adapters and full tuning; what
    is trained and its gradient stay in 32 bits."""
    schedule: Literal["constant", "cosine", "linear"] = "linear"
    """The learning rate over the updates; cosine and linear fall to zero."""
    warmup_ratio: float = 0.03
    """Share of all updates over which the rate rises linearly from zero."""
    patience: int | None = None
    """Epochs in a row without a better validation NLL after which a candidate stops; null never
    stops early. Where the rate falls to zero, one that stops has not cooled; the best epoch is kept
    either way."""
    seeds: int | tuple[int, ...] | AdaptiveSeeds = 3
    """Each method runs once with each seed, which covers initial tensors and data order. A count
    means the seeds from 0 on; ``{at_least: 3, at_most: 10}`` looks at the test scores of 3, 5 and
    10 seeds and goes on only for methods that are still undecided."""

    def __post_init__(self) -> None:
        for key in ("epochs", "micro_batch_size", "grad_accum_steps"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")
        for key in ("epochs", "patience"):
            counts = (getattr(self, key) or 0) <= _MOST_EPOCHS
            _require(counts, key, getattr(self, key), f"at most {_MOST_EPOCHS}")
        clip_counts = self.max_grad_norm is None or _SMALLEST_NORM <= self.max_grad_norm <= _LARGEST
        rule = f"from {_SMALLEST_NORM:g} to {_LARGEST:.0f}, or null for no clipping"
        rule += " (clip_norm is an older name of this key)"
        _require(clip_counts, "max_grad_norm", self.max_grad_norm, rule)
        for key in ("micro_batch_size", "grad_accum_steps"):
            _require(getattr(self, key) <= _MOST_ROWS, key, getattr(self, key), "at most 65536")
        decay_counts = self.weight_decay is None or 0 <= self.weight_decay <= _LARGEST
        rule = f"from 0 to {_LARGEST:.0f}, or null for each method's own"
        _require(decay_counts, "weight_decay", self.weight_decay, rule)
        _require(0 <= self.warmup_ratio < 1, "warmup_ratio", self.warmup_ratio, "in [0, 1)")
        patience_counts = self.patience is None or self.patience >= 1
        _require(patience_counts, "patience", self.patience, "at least 1, or null for never")
        _require(all(0 <= b < 1 for b in self.betas), "betas", self.betas, "each in [0, 1)")
        self._check_seeds()

    def _check_seeds(self) -> None:
        seeds = self.seeds
        if isinstance(seeds, AdaptiveSeeds):
            return
        if isinstance(seeds, int):
            counts = 1 <= seeds <= _MOST_SEEDS
            _require(counts, "seeds", seeds, f"a count from 1 to {_MOST_SEEDS}")
            return
        _require(len(seeds) > 0, "seeds", seeds, "a count, or a list of at least one seed")
        distinct = len(set(seeds)) == len(seeds) and min(seeds) >= 0 and max(seeds) < 2**63
        _require(distinct, "seeds", seeds, "distinct numbers of 0 or more and below 2^63")

    def under(self, options: Mapping[str, Any]) -> ProtocolOptions:
        """The protocol of a candidate, some of whose searched options are the protocol's own."""
        own = {key: value for key, value in options.items() if key in SEARCHED_OF_PROTOCOL}
        return replace(self, **own) if own else self

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds that every method is trained with, before any look."""
        if isinstance(self.seeds, AdaptiveSeeds):
            return tuple(range(self.seeds.looks[0]))
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def search_seed(self) -> int:
        """Of every candidate of a search: a seed that no chosen setting is trained with."""
        used = self.seeds if isinstance(self.seeds, tuple) else ()
        return next(seed for seed in itertools.count(_SEARCH_SEED) if seed not in used)

    @property
    def rows_per_step(self) -> int:
        """Examples in one update."""
        return self.micro_batch_size * self.grad_accum_steps

    def decay_of(self, own: float) -> float:
        """The weight decay of a method.

        Args:
            own: the method's, see ``MethodSpec.weight_decay``.
        """
        return own if self.weight_decay is None else self.weight_decay

    @property
    def decays(self) -> bool:
        """Whether the rate falls to zero over the epochs."""
        return self.schedule != "constant"

    @property
    def may_go_on(self) -> bool:
        """Whether training with more epochs begins as this one does, so that it can go on."""
        return not self.decays and self.warmup_ratio == 0.0

    def rate_factor(self, update: int, num_updates: int) -> float:
        """Factor on the learning rate at ``update`` (from 0) of ``num_updates``."""
        warmup = round(self.warmup_ratio * num_updates)
        if update < warmup:
            return (update + 1) / warmup
        if self.schedule == "constant":
            return 1.0
        done = (update - warmup) / max(1, num_updates - warmup)
        return 1.0 - done if self.schedule == "linear" else 0.5 * (1 + cos(pi * done))


def _require(holds: bool, key: str, value: object, rule: str) -> None:
    if not holds:
        raise ConfigError(f"protocol.{key}: {value!r} is out of range; it must be {rule}")
