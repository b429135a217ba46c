"""From drawn events to articles and highlights, split by event."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from bakeoff.data.wire.business import BUSINESS
from bakeoff.data.wire.council import COUNCIL
from bakeoff.data.wire.court import COURT
from bakeoff.data.wire.earthquake import EARTHQUAKE
from bakeoff.data.wire.football import FOOTBALL
from bakeoff.data.wire.phrasing import Desk, Draw, Facts, write
from bakeoff.data.wire.science import SCIENCE
from bakeoff.data.wire.transport import TRANSPORT
from bakeoff.data.wire.weather import WEATHER
from bakeoff.errors import DataError

WireSplit = Literal["train", "validation", "test", "pretrain"]

DESKS: Final[tuple[Desk, ...]] = (
    WEATHER,
    BUSINESS,
    FOOTBALL,
    EARTHQUAKE,
    COUNCIL,
    COURT,
    TRANSPORT,
    SCIENCE,
)

_SPLITS: Final[tuple[str, ...]] = get_args(WireSplit)
_ARTICLE_WORDS: Final = (55, 110)
_HIGHLIGHT_WORDS: Final = (12, 28)


@dataclass(frozen=True, kw_only=True)
class WireExample:
    """One article with its highlights.

    Attributes:
        article: 55 to 110 words in one paragraph; of a fact sheet, its facts.
        highlights: Two or three sentences joined by newlines, 12 to 28 words in all.
        desk: Name of the desk that wrote it.
    """

    article: str
    highlights: str
    desk: str


def generate(num_examples: int, *, seed: int, split: WireSplit) -> list[WireExample]:
    """Writes the first examples of a split.

    Example ``i`` depends on ``seed``, ``split`` and ``i`` only. An event belongs to one split
    whatever the seed, so no two splits ever tell of the same event.

    Args:
        num_examples: How many examples; a longer list starts with the shorter one.
        seed: Names one endless list of examples.
        split: ``"pretrain"`` is for pre-training a base, the others for tasks.

    Returns:
        ``num_examples`` examples from all desks in random order.

    Raises:
        DataError: ``num_examples`` is negative or ``split`` has another name.
    """
    return [_example(draw, split, _article) for draw in _draws(num_examples, seed, split)]


def generate_fact_sheets(num_examples: int, *, seed: int, split: WireSplit) -> list[WireExample]:
    """Writes events as lists of their facts instead of articles, with highlights of the same kind.

    Another data set of the same task: a sheet has no sentence, and more facts than an article.
    ``article`` holds it, as ``"Desk: court. Town: Malford. Years: 8."`` with the facts in random
    order. The arguments, the splits and the errors are those of ``generate``.
    """
    return [_example(draw, split, _sheet) for draw in _draws(num_examples, seed, split)]


def _draws(num_examples: int, seed: int, split: str) -> list[Draw]:
    if num_examples < 0:
        raise DataError(f"wire: num_examples is {num_examples}; it must be 0 or more")
    if split not in _SPLITS:
        raise DataError(f"wire: split is {split!r}; it must be one of {', '.join(_SPLITS)}")
    return [Draw(_hash(f"{seed}/{split}/{i}")) for i in range(num_examples)]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def split_of(desk: Desk, facts: Facts) -> str:
    """The one split that an event belongs to, from its key facts alone."""
    words = [desk.name, *(facts[name] for name in desk.key)]
    return _SPLITS[_hash("|".join(words)) % len(_SPLITS)]


def _example(draw: Draw, split: str, written: Callable[[Draw, Desk, Facts], str]) -> WireExample:
    desk = draw.pick(DESKS)
    facts = desk.event(draw)
    while split_of(desk, facts) != split:
        facts = desk.event(draw)
    return WireExample(
        article=written(draw, desk, facts),
        highlights=_highlights(draw, desk, facts),
        desk=desk.name,
    )


def _sheet(draw: Draw, desk: Desk, facts: Facts) -> str:
    # A fact with a capital is another's spelling for the front of a sentence.
    names = [name for name in facts if not name.endswith("_cap")]
    lines = [
        f"{name.replace('_', ' ').capitalize()}: {facts[name]}." for name in draw.shuffled(names)
    ]
    return " ".join([f"Desk: {desk.name}.", *lines])


def _article(draw: Draw, desk: Desk, facts: Facts) -> str:
    low, high = _ARTICLE_WORDS
    target = draw.integer(low + 5, high - 15)
    lead = write(draw, draw.pick(desk.leads), facts)
    # Names are introduced in full by the body, so what only echoes them comes after it.
    front = [write(draw, draw.pick(slot), facts) for slot in desk.body]
    first, second, *more = draw.shuffled(desk.echoes)
    back = [write(draw, first, facts), write(draw, second, facts)]
    num_words = sum(map(_words, (lead, *front, *back)))
    extras = [(template, False) for template in more[:1]]
    extras += [(template, draw.chance(0.65)) for template in desk.colour]
    for template, early in draw.shuffled(extras):
        if num_words >= target:
            break
        sentence = write(draw, template, facts)
        if num_words + _words(sentence) <= high:
            (front if early else back).append(sentence)
            num_words += _words(sentence)
    return " ".join([lead, *draw.shuffled(front), *draw.shuffled(back)])


def _highlights(draw: Draw, desk: Desk, facts: Facts) -> str:
    low, high = _HIGHLIGHT_WORDS
    first, second, *others = desk.highlights
    while True:
        third = [draw.pick(others)] if draw.chance(0.55) else []
        lines = [write(draw, draw.pick(slot), facts) for slot in (first, second, *third)]
        if low <= sum(map(_words, lines)) <= high:
            return "\n".join(lines)


def _words(sentence: str) -> int:
    return sentence.count(" ") + 1
