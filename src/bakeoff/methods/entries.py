"""One method of a study: its kind, rates and variants, checked without the base."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, get_args

from bakeoff.config.plain import shown
from bakeoff.errors import ConfigError
from bakeoff.methods.registry import method_kinds, method_type, spec_of
from bakeoff.methods.specs.contract import MethodSpec
from bakeoff.methods.variants import Variant, listed_options, variants_of
from bakeoff.types import Quantization

if TYPE_CHECKING:
    from bakeoff.base.model import Base
    from bakeoff.methods.contract import Method

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
SMALLEST_RATE, LARGEST_RATE = 1e-15, 1e30
"""Beyond them float32 loses the update, or what is updated."""
CROSSED: Final = "@"
"""Between a method of a study and the base or the layout of its prompts that it is crossed with."""
_BASELINES = ("zero_shot", "lead")


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method of a study, checked as far as that goes without the base.

    Attributes:
        learning_rate: the study's, or the method's default for its base; the rate where nothing
            is searched, and else the middle of the common grid.
        rates: the study's own list of rates, or None.
        quantization: of the base that it trains on; None takes the study's.
        given: its options as the study gives them. listed: those that are lists to be searched.
        variants: the combinations of its searched options, at least one.
    """

    name: str
    kind: str
    learning_rate: float
    rates: tuple[float, ...] | None
    quantization: Quantization | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    listed: Mapping[str, list[Any]] = field(default_factory=dict)
    variants: tuple[Variant, ...]

    @property
    def spec(self) -> MethodSpec:
        """What describes the method, without its code."""
        return spec_of(self.kind, where=f"methods.{self.name}.kind")

    @property
    def method_type(self) -> type[Method]:
        """The class of the method, which loads PyTorch."""
        return method_type(self.kind, where=f"methods.{self.name}.kind")

    def build(self, base: Base) -> dict[str, Method]:
        """The method on a base, for each variant by its label; see ``check_quantized``.

        Raises:
            ConfigError: where an option does not fit the base.
        """
        where = f"methods.{self.name}"
        return {v.label: self.method_type(v.options, base, where=where) for v in self.variants}


def entry_of(
    name: str,
    given: Mapping[str, Any],
    *,
    may_search: bool,
    parameters: int | None = None,
    starting: object | None = None,
) -> MethodEntry:
    """Checks what a study gives for one method.

    Args:
        name: the study's own name for it.
        given: its kind, learning rate and options.
        may_search: whether lists of values are searched over.
        parameters: of the base; None takes the default rate of a small one.
        starting: the task's ``StartingValues``, which some defaults follow; None takes the
            method's own.

    Raises:
        ConfigError: for anything that breaks a rule, by its path.
    """
    where = f"methods.{name}"
    for part in name.split(CROSSED):
        check_name(where, part)
    if name.replace("-", "_").lower() in _BASELINES:
        raise ConfigError(
            f"{where}: {name!r} names a baseline of every report; choose another name"
        )
    rest = dict(given)
    kind = rest.pop("kind", name)
    quantization = rest.pop("quantization", None)
    if quantization is not None and quantization not in get_args(Quantization):
        raise ConfigError(
            f"{where}.quantization: {quantization!r} is not one of "
            f"{', '.join(get_args(Quantization))}"
        )
    if not isinstance(kind, str):
        raise ConfigError(
            f"{where}.kind: {kind!r} is not a text; name one of {', '.join(method_kinds())}"
        )
    method = spec_of(kind, where=f"{where}.kind")
    rate = rest.pop("learning_rate", None)
    default = method.rate_for(parameters)
    if rate is None:
        rate = default
    rates = None
    if may_search and isinstance(rate, list):
        rates = tuple(_checked_rate(one, method, where) for one in rate)
        # Ids name rates by six digits.
        if not rates or len({f"{one:g}" for one in rates}) < len(rates):
            raise ConfigError(
                f"{where}.learning_rate: {rate!r} is searched over, so it must hold at least one "
                "rate, and none twice (six digits count)"
            )
        rate = default
    for key, value in method.options_of_task.items():
        if starting is not None and key not in rest:
            rest[key] = getattr(starting, value)
    listed = listed_options(method, rest, where=where, may_search=may_search)
    return MethodEntry(
        name=name,
        kind=kind,
        learning_rate=_checked_rate(rate, method, where),
        rates=rates,
        quantization=quantization,
        given=rest,
        listed=listed,
        variants=variants_of(method, rest, listed, where=where),
    )


def check_quantized(entry: MethodEntry, held: str) -> None:
    """Refuses a method that trains weights of the base over a quantised one.

    Args:
        entry: the method. held: in what the base that it trains on is held.

    Raises:
        ConfigError: it does.
    """
    reason = entry.spec.whole_base
    if held != "none" and reason:
        raise ConfigError(
            f"methods.{entry.name}: {entry.kind} cannot be trained over a base in {held}, as "
            f"{reason}; set methods.{entry.name}.quantization: none, or train lora over it"
        )


def _checked_rate(rate: Any, method: MethodSpec, where: str) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
        listed = "; a list of rates needs search" if isinstance(rate, list) else ""
        raise ConfigError(
            f"{where}.learning_rate: {rate!r} is not a positive number; give one such as "
            f"{method.default_learning_rate:g}{listed}"
        )
    if not SMALLEST_RATE <= rate <= LARGEST_RATE:
        raise ConfigError(
            f"{where}.learning_rate: {shown(rate)} is out of range, which is {SMALLEST_RATE:g} to "
            f"{LARGEST_RATE:g}; give one such as {method.default_learning_rate:g}"
        )
    return float(rate)


def check_name(where: str, name: str) -> None:
    """Raises ConfigError where a name cannot name a folder."""
    if not _SAFE_NAME.fullmatch(name):
        raise ConfigError(
            f"{where}: {name!r} cannot name a folder; use at most 64 letters, digits, dots, "
            "dashes and underscores, the first a letter or digit"
        )
