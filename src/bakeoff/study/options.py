"""A study's keys, as checked dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bakeoff.decide.options import DecisionOptions
from bakeoff.decide.prices import PriceOptions
from bakeoff.engine.generation.options import GenerationOptions
from bakeoff.engine.options import EngineOptions, ProtocolOptions
from bakeoff.errors import ConfigError
from bakeoff.methods.entries import check_name
from bakeoff.metrics.judge import JudgeOptions
from bakeoff.search.options import SearchOptions
from bakeoff.study.execution_options import ExecutionOptions
from bakeoff.study.sizes import sorted_sizes
from bakeoff.types import Precision, Quantization

TrackerName = Literal["tensorboard", "trackio", "wandb"]
_MOST_SLOTS: Final = 65536


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Everything that decides a study's results."""

    name: str
    """Names the run's folder: letters, digits, dot, dash and underscore."""
    base: str
    """Hub id, folder, ``tiny``, ``smollm2-135m`` or ``scratch:...``."""
    bases: dict[str, Any] | None = None
    """Instead of ``base`` several, which every method is trained over: [smollm2-135m, tiny], or
    {NAME: tiny, OTHER: {base: ..., revision: ..., quantization: nf4}}."""
    templates: dict[str, str] | None = None
    """Layouts that every method is trained with, instead of the task's own: {short: "{body} {tag}",
    long: ...}, columns of the data in braces, what is learnt last."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    trust_remote_code: bool = False
    """Whether code beside the base may run."""
    task: dict[str, Any]
    """Its ``kind``, where the data come from, and what is made of them."""
    baselines: tuple[str | dict[str, Any], ...] | None = None
    """What takes part without training: zero_shot, few_shot, lead, majority, random; null takes the
    kind's own. {few_shot: {shots: [1, 2]}} says how many training rows are tried."""
    also_test: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Further test sets by name, each with a ``source`` and the keys of a task of its ``kind``; one
    of the study's own kind takes the task's keys. ``max_drop: {nll: 0.05}`` is what a recommended
    method may lose on it against zero_shot, at most. ``methods: [lora]`` tests these methods and
    zero_shot alone; without it all are tested."""
    learning_curve: tuple[int, ...] = ()
    """Numbers of training rows, such as [64, 256, 1024]: each method's chosen setting is trained on
    nested subsets of these sizes besides, which draws quality against rows."""
    protocol: ProtocolOptions = field(default_factory=ProtocolOptions)
    """How every candidate is trained; epochs and rows of an update start from the task's kind."""
    methods: dict[str, dict[str, Any]]
    """For each name a ``kind``, a ``learning_rate`` (where there is none, the default for a base
    of this size), a ``quantization`` (the study's, where there is none) and the method's own
    options; null leaves it out."""
    search: SearchOptions | None = None
    """How each method's learning rate is found; null: every method comes with its own."""
    decision: DecisionOptions = field(default_factory=DecisionOptions)
    """What counts as better, as equal and as sure."""
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    """How answers to the test rows are written."""
    judge: JudgeOptions | None = None
    """Who judges the answers where ``task.metrics`` has ``judge``, and by what; nothing is sent
    anywhere but to its ``endpoint``."""
    slots: int | Literal["auto"] = "auto"
    """Candidates in one training pass."""
    engine: EngineOptions = field(default_factory=EngineOptions)
    """How passes are computed."""
    precision: Precision = "auto"
    """In what the frozen base computes."""
    quantization: Quantization = "none"
    """In what its linear layers are held: none, int8 or nf4 (bitsandbytes, the extra
    ``quantization``); a method may have its own. The embedding and the head stay as they are."""
    prices: PriceOptions = field(default_factory=PriceOptions)
    """What costs are in money; it may change between calls."""
    checkpoint_minutes: float = 10.0
    """Longest training inside an epoch that a crash can cost; it may change between calls."""
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)
    """Where jobs run; it may change between calls."""
    track: tuple[TrackerName, ...] = ()
    """Where else the curves are written while it runs: tensorboard, trackio, wandb; it may change
    between calls."""

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if not self.methods:
            raise ConfigError(
                "methods: there is none; name at least one, such as lora: {kind: lora}"
            )
        if isinstance(self.slots, int) and not 1 <= self.slots <= _MOST_SLOTS:
            raise ConfigError(
                f"slots: {self.slots} is out of range; give auto or a number from 1 to "
                f"{_MOST_SLOTS}"
            )
        if len(set(self.track)) < len(self.track):
            raise ConfigError(f"track: {list(self.track)} names a tracker twice; name each once")
        object.__setattr__(self, "learning_curve", sorted_sizes(self.learning_curve))
        if not self.checkpoint_minutes > 0:
            raise ConfigError(
                f"checkpoint_minutes: {self.checkpoint_minutes} is not above 0; give minutes, such "
                "as 10"
            )
        # Two names that differ in case alone are one folder on some file systems.
        first: dict[str, str] = {}
        for name in self.methods:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                raise ConfigError(
                    f"methods.{name}: {name!r} and {other!r} differ in capital letters alone, and "
                    "would be one folder where these do not count; rename one"
                )
