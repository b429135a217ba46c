"""The wire: events, articles, highlights, splits."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict

import pytest

from bakeoff.data.wire import DESKS, WireExample, generate
from bakeoff.data.wire.generator import split_of
from bakeoff.data.wire.phrasing import Draw, compile_template, write
from bakeoff.errors import DataError

SPLITS = ("train", "validation", "test", "pretrain")
TOKEN = re.compile(r"\d[\d.,:-]*\d|\d|[^\W\d][\w'-]*")


@pytest.fixture(scope="module")
def train() -> list[WireExample]:
    return generate(4_000, seed=7, split="train")


def names_and_numbers(highlights: str) -> set[str]:
    """Tokens with a digit, and capitalised ones that do not open a sentence."""
    found = set()
    for line in highlights.split("\n"):
        for place, token in enumerate(TOKEN.findall(line.replace("Study: ", ""))):
            if token[0].isdigit() or (place and token[0].isupper()):
                found.add(token)
    return found


def skeleton(sentence: str) -> str:
    """A sentence without its names and numbers."""
    return re.sub(r"(?<=\s)[A-Z]\S*|\S*\d\S*", "_", sentence)


def test_same_arguments_same_examples(train: list[WireExample]) -> None:
    assert generate(50, seed=7, split="train") == train[:50]
    assert generate(50, seed=8, split="train") != train[:50]
    assert generate(50, seed=7, split="test") != train[:50]


def test_first_example_stays_what_it_was_when_published() -> None:
    # Golden: generate(1, seed=0, split="train"). Saved studies and the shipped base rest on it.
    (example,) = generate(1, seed=0, split="train")
    assert example == WireExample(article=GOLDEN_ARTICLE, highlights=GOLDEN_HIGHLIGHTS, desk="GOLDEN")


@pytest.mark.parametrize("num_examples", [0, 1, 17])
def test_a_longer_list_starts_with_the_shorter(num_examples: int, train: list[WireExample]) -> None:
    assert generate(num_examples, seed=7, split="train") == train[:num_examples]


@pytest.mark.parametrize("desk", DESKS, ids=lambda desk: desk.name)
def test_an_event_has_one_split_and_all_splits_have_events(desk) -> None:
    draw = Draw(11)
    shares = Counter(split_of(desk, desk.event(draw)) for _ in range(400))
    assert set(shares) == set(SPLITS)
    assert min(shares.values()) > 60
    facts = desk.event(draw)
    other_words = {name: value if name in desk.key else "x" for name, value in facts.items()}
    assert split_of(desk, other_words) == split_of(desk, facts)


def test_splits_share_no_article_and_no_event_whatever_the_seed() -> None:
    articles: dict[str, set[str]] = defaultdict(set)
    for split, seed in itertools.product(SPLITS, (1, 2)):
        examples = generate(500, seed=seed, split=split)
        articles[split] |= {example.article for example in examples}
        for example in examples:
            # The same event told again would bring the same names and numbers.
            facts = frozenset(names_and_numbers(example.highlights))
            articles[f"facts of {split}"].add(f"{example.desk} {sorted(facts)}")
    for one, other in itertools.combinations(SPLITS, 2):
        assert articles[one].isdisjoint(articles[other])
        assert articles[f"facts of {one}"].isdisjoint(articles[f"facts of {other}"])


def test_no_article_comes_twice(train: list[WireExample]) -> None:
    assert len({example.article for example in train}) == len(train)


def test_every_desk_is_present_with_a_fair_share(train: list[WireExample]) -> None:
    shares = Counter(example.desk for example in train)
    assert set(shares) == {desk.name for desk in DESKS}
    assert len(shares) >= 6
    assert min(shares.values()) > len(train) / len(DESKS) * 0.8


def test_lengths(train: list[WireExample]) -> None:
    for example in train:
        assert 55 <= len(example.article.split()) <= 110
        assert 12 <= len(example.highlights.split()) <= 28
        assert len(example.highlights.split("\n")) in (2, 3)
        assert "\n" not in example.article


def test_prose_has_no_leftovers_of_templates(train: list[WireExample]) -> None:
    for example in train:
        text = f"{example.article}\n{example.highlights}"
        assert not re.search(r"[\[\]{}|]|  | [.,]|,,|\.\.|,\.", text), text
        for sentence in re.split(r'(?<=[.?]) (?=[A-Z"0-9])|\n', text):
            assert re.match(r'["A-Z0-9]', sentence), sentence
            assert re.search(r'[.?]"?$', sentence), sentence


def test_names_and_numbers_of_highlights_stand_in_the_article(train: list[WireExample]) -> None:
    for example in train:
        missing = names_and_numbers(example.highlights) - set(TOKEN.findall(example.article))
        assert not missing, (missing, example)


def test_names_come_again_in_other_sentences(train: list[WireExample]) -> None:
    for example in train:
        sentences = re.split(r"(?<=[.?]) ", example.article)
        counts = Counter(
            token
            for sentence in sentences
            for token in {t for t in TOKEN.findall(sentence) if t[0].isupper() or t[0].isdigit()}
        )
        again = [t for t in names_and_numbers(example.highlights) if counts[t] >= 2]
        assert again, example


def test_the_lead_alone_does_not_hold_the_highlights(train: list[WireExample]) -> None:
    covered = []
    for example in train:
        wanted = names_and_numbers(example.highlights)
        lead = set(TOKEN.findall(" ".join(re.split(r"(?<=[.?]) ", example.article)[:2])))
        covered.append(len(wanted & lead) / len(wanted))
    assert sum(covered) / len(covered) < 0.7
    assert sum(share == 1 for share in covered) < len(covered) / 10


def test_each_desk_has_many_phrasings(train: list[WireExample]) -> None:
    told, shown = defaultdict(set), defaultdict(set)
    for example in train:
        told[example.desk] |= {skeleton(s) for s in re.split(r"(?<=[.?]) ", example.article)}
        shown[example.desk] |= {skeleton(line) for line in example.highlights.split("\n")}
    assert min(map(len, told.values())) > 200
    assert min(map(len, shown.values())) >= 8


def test_names_are_drawn_from_large_pools(train: list[WireExample]) -> None:
    names = {name for example in train for name in re.findall(r"\b[A-Z]\w+", example.article)}
    assert len(names) > 3_000


def test_alternatives_and_facts_are_filled_in() -> None:
    template = compile_template("[A|One] man of {age}[|, alone,] came.")
    draw = Draw(3)
    written = {write(draw, template, {"age": "40"}) for _ in range(100)}
    assert written == {
        "A man of 40 came.",
        "One man of 40 came.",
        "A man of 40, alone, came.",
        "One man of 40, alone, came.",
    }


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(DataError, match=r"num_examples is -1"):
        generate(-1, seed=0, split="train")
    with pytest.raises(DataError, match=r"'dev'.*train, validation, test, pretrain"):
        generate(1, seed=0, split="dev")  # type: ignore[arg-type]
