"""What describes a method without its code, so that nothing heavy is loaded to ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bakeoff.config import from_mapping

SIZES: Final = (1e9, 5e9, 2e10)
"""Parameters of a base at which the next of ``MethodSpec.rates_by_size`` begins."""


class FileFormat(StrEnum):
    """Whose files an adapter is."""

    PEFT = "peft"  # loads with PeftModel.from_pretrained
    ADAPTERS = "adapters"  # loads with the library of that name
    TRANSFORMERS = "transformers"  # an ordinary checkpoint of a whole model
    OWN = "bakeoff"  # no library has such a method


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """One method, as far as it can be described without a base and without PyTorch.

    Attributes:
        kind: its name in the registry.
        method, stack: ``MODULE:CLASS`` of its code, imported where it is first needed; not read of
            classes that are registered themselves.
        title: one line for ``bakeoff methods``.
        paper: where it comes from.
        formula: the number of trained parameters, in words.
        options_type: the frozen dataclass of its options, every field with a default.
        default_learning_rate: used where the study names none; of small bases, where
            ``rates_by_size`` has others too.
        learning_rate_source: who published that rate.
        rates_by_size: the default rates of bases below each of ``SIZES`` and above the last, or
            None: the same for all.
        weight_decay: AdamW's, where the protocol names none. Adapters start at the base and need
            none; weights of the base itself have 0.01.
        option_sources: by option, where its default comes from.
        options_of_task: by option, the attribute of ``StartingValues`` that is its default, as the
            rank follows from the kind of task.
        file_format: whose files an adapter is.
        mergeable: whether what it learns can be weights of the base itself.
        whole_base: why it cannot be trained over a quantised base, as a clause; empty where it can.
        trains_alone: whether its cohort has one slot and a base of its own.
        length_option: the option that decides on positions before the tokens, for errors.
        family_option: the option that further options depend on, or None.
    """

    kind: str
    method: str = ""
    stack: str = ""
    title: str
    paper: str
    formula: str
    options_type: type
    default_learning_rate: float
    learning_rate_source: str
    file_format: FileFormat
    mergeable: bool
    rates_by_size: tuple[float, ...] | None = None
    weight_decay: float = 0.0
    option_sources: Mapping[str, str] = field(default_factory=dict)
    options_of_task: Mapping[str, str] = field(default_factory=dict)
    whole_base: str = ""
    trains_alone: bool = False
    length_option: str = "prompt_length"
    family_option: str | None = None

    def __post_init__(self) -> None:
        rates = self.rates_by_size
        if rates is not None and (len(rates), rates[0]) != (
            len(SIZES) + 1,
            self.default_learning_rate,
        ):
            raise ValueError(
                f"{self.kind}: rates_by_size is {rates}: it must hold {len(SIZES) + 1} rates, the "
                f"first the default, {self.default_learning_rate:g}"
            )

    def rate_for(self, parameters: int | None) -> float:
        """The default learning rate.

        Args:
            parameters: of the base; None, where that is not known, is taken for a small one.
        """
        if parameters is None or self.rates_by_size is None:
            return self.default_learning_rate
        return self.rates_by_size[sum(parameters >= edge for edge in SIZES)]

    def read_options(self, given: Mapping[str, Any], *, path: str = "") -> Any:
        """The options of a study as an instance of ``options_type``.

        Args:
            given: keys and plain values.
            path: where they are in the study, for errors.

        Raises:
            ConfigError: names each setting that is wrong.
        """
        return from_mapping(self.options_type, given, path=path)

    def families(self) -> dict[str, type]:
        """The dataclasses of further options by the value of ``family_option``; else empty."""
        return {}
