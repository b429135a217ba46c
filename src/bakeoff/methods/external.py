"""What a study says of an entrant that was made elsewhere; it takes no part in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from bakeoff.config import from_mapping
from bakeoff.errors import ConfigError
from bakeoff.formatting import join
from bakeoff.methods.entries import check_name

EXTERNAL: Final = "external"
"""The ``kind`` of such an entrant."""
Form = Literal["adapter", "checkpoint", "predictions"]
FORMS: Final[tuple[Form, ...]] = ("adapter", "checkpoint", "predictions")
Price = float | dict[str, float]
_PRICED_BY: Final = ({"call"}, {"input_tokens", "output_tokens"})
_REMEDY: Final = (
    "give one of adapter: FOLDER (PEFT's files), checkpoint: FOLDER (a whole model) and "
    "predictions: FILE.jsonl (as `bakeoff template` lays it out), or a list of one of them, an "
    "entry a seed"
)


@dataclass(frozen=True, kw_only=True)
class ExternalOptions:
    """Where an entrant's runs are: one of three forms, one place or a list with one a seed."""

    adapter: str | tuple[str, ...] | None = None
    """A folder with PEFT's files, trained over the study's base."""
    checkpoint: str | tuple[str, ...] | None = None
    """A folder with a whole model and its tokenizer."""
    predictions: str | tuple[str, ...] | None = None
    """A file of JSON lines, an answer for each test row."""
    price: float | dict[str, float] | None = None
    """What it costs: a number or ``call``, for an answer; or ``input_tokens`` and
    ``output_tokens`` together, for a million tokens, counted in those of the base."""

    def __post_init__(self) -> None:
        if isinstance(self.price, dict) and set(self.price) not in _PRICED_BY:
            raise ConfigError(
                f"price: names {join(sorted(self.price)) or 'nothing'}; give a number or call, "
                "for an answer, or both of input_tokens and output_tokens, for a million tokens"
            )
        prices = self.price if isinstance(self.price, dict) else {"": self.price}
        for name, value in prices.items():
            if value is not None and not (math.isfinite(value) and value >= 0.0):
                key = f"price.{name}" if name else "price"
                raise ConfigError(f"{key}: {value} is not a price; give a finite number from 0 on")


@dataclass(frozen=True, kw_only=True)
class ExternalEntry:
    """An entrant from elsewhere, checked as far as that goes without its files.

    Attributes:
        name: the study's own. form: of its runs. places: of each run, its folder or file.
        price: as the study gives it.
    """

    name: str
    form: Form
    places: tuple[str, ...]
    price: Price | None = None

    @property
    def resolved(self) -> dict[str, Any]:
        """As a study says it."""
        places: str | list[str] = list(self.places)
        if len(self.places) == 1:
            places = self.places[0]
        price = {} if self.price is None else {"price": self.price}
        return {"kind": EXTERNAL, self.form: places, **price}

    def ids(self) -> tuple[str, ...]:
        """Of its runs, as candidates have them."""
        return tuple(f"{self.name}-s{seed}" for seed in range(len(self.places)))


def is_external(name: str, given: object) -> bool:
    """Whether a study's method is an entrant from elsewhere."""
    return isinstance(given, Mapping) and given.get("kind", name) == EXTERNAL


def external_of(name: str, given: Mapping[str, Any]) -> ExternalEntry:
    """Checks what a study gives for one entrant from elsewhere.

    Raises:
        ConfigError: for anything that breaks a rule, by its path.
    """
    where = f"methods.{name}"
    check_name(where, name)
    rest = {key: value for key, value in given.items() if key != "kind"}
    if "learning_rate" in rest:
        raise ConfigError(
            f"{where}.learning_rate: an external entrant is not trained here, so that a rate has "
            "no effect; remove it"
        )
    options = from_mapping(ExternalOptions, rest, path=where)
    named = [form for form in FORMS if getattr(options, form) is not None]
    if len(named) != 1:
        found = " and ".join(named) if named else "no place"
        raise ConfigError(f"{where}: names {found} of an external entrant; {_REMEDY}")
    [form] = named
    given_places = getattr(options, form)
    places = (given_places,) if isinstance(given_places, str) else tuple(given_places)
    if not places or not all(place.strip() for place in places):
        raise ConfigError(f"{where}.{form}: is empty; {_REMEDY}")
    if len(set(places)) < len(places):
        twice = next(place for place in places if places.count(place) > 1)
        raise ConfigError(
            f"{where}.{form}: names {twice} twice; one run counted twice would look like two "
            "seeds, so name each once"
        )
    return ExternalEntry(name=name, form=form, places=places, price=options.price)
