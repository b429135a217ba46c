"""The wire: events, articles, highlights, splits."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoForCausalLM

import bakeoff
from bakeoff.data.wire import (
    DESKS,
    WireExample,
    WireSplit,
    generate,
    generate_fact_sheets,
    generator,
)
from bakeoff.data.wire.generator import split_of
from bakeoff.data.wire.phrasing import Desk, Draw, Facts, compile_template, write
from bakeoff.errors import DataError

SPLITS: tuple[WireSplit, ...] = ("train", "validation", "test", "pretrain")
TINY = Path(bakeoff.__file__).parent / "base" / "tiny"
TOKEN = re.compile(r"\d[\d.,:-]*\d|\d|[^\W\d][\w'-]*")


GOLDEN_ARTICLE = (
    "A banker from Falton must go to prison, a court decided on Saturday. The jury found Sara "
    "Aldton, a banker aged 70, guilty of smuggling, and the sentence is 4 years in prison. "
    "Judge Philip Ramo saw careful planning. The damage to Eca Airlines was put at $263,000. "
    "Aldton showed no emotion as Ramo spoke. Detectives searched several flats in September. "
    "Aldton had been trusted by Eca for a decade. The trial took 2 weeks. The defence team of "
    "Aldton will appeal."
)
GOLDEN_HIGHLIGHTS = (
    "Court in Falton imprisons Sara Aldton for 4 years.\n"
    "Damage to Eca Airlines came to $263,000.\n"
    "Verdict is read by judge Philip Ramo."
)


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


def test_a_fact_sheet_has_what_its_highlights_say_and_no_sentence_of_an_article() -> None:
    sheets = generate_fact_sheets(400, seed=7, split="test")
    assert sheets[:20] == generate_fact_sheets(20, seed=7, split="test")
    for sheet in sheets:
        facts = sheet.article.split(". ")
        assert facts[0] == f"Desk: {sheet.desk}" and all(": " in fact for fact in facts)
        assert max(len(fact.split()) for fact in facts) <= 9, facts
        missing = [
            word for word in names_and_numbers(sheet.highlights) if word not in sheet.article
        ]
        assert not missing, (missing, sheet)
    assert {sheet.desk for sheet in sheets} == {desk.name for desk in DESKS}


def test_same_arguments_same_examples(train: list[WireExample]) -> None:
    assert generate(50, seed=7, split="train") == train[:50]
    assert generate(50, seed=8, split="train") != train[:50]
    assert generate(50, seed=7, split="test") != train[:50]


def test_first_example_stays_what_it_was_when_published() -> None:
    # Golden: generate(1, seed=0, split="train"). Saved studies and the shipped base rest on it.
    (example,) = generate(1, seed=0, split="train")
    assert example.article == GOLDEN_ARTICLE
    assert example.highlights == GOLDEN_HIGHLIGHTS


@pytest.mark.parametrize("num_examples", [0, 1, 17])
def test_a_longer_list_starts_with_the_shorter(num_examples: int, train: list[WireExample]) -> None:
    assert generate(num_examples, seed=7, split="train") == train[:num_examples]


@pytest.mark.parametrize("desk", DESKS, ids=lambda desk: desk.name)
def test_an_event_has_one_split_and_all_splits_have_events(desk: Desk) -> None:
    draw = Draw(11)
    shares = Counter(split_of(desk, desk.event(draw)) for _ in range(400))
    assert set(shares) == set(SPLITS)
    assert min(shares.values()) > 60
    facts = desk.event(draw)
    other_words = {name: value if name in desk.key else "x" for name, value in facts.items()}
    assert split_of(desk, other_words) == split_of(desk, facts)


@pytest.mark.parametrize("split", SPLITS)
def test_every_example_tells_an_event_of_its_split(
    split: WireSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def article(draw: Draw, desk: Desk, facts: Facts) -> str:
        told.append(split_of(desk, facts))
        return ""

    monkeypatch.setattr(generator, "_article", article)
    for seed in (1, 2):
        generate(100, seed=seed, split=split)
    assert told == [split] * 200


def test_splits_share_no_article() -> None:
    sets = [{example.article for example in generate(400, seed=5, split=split)} for split in SPLITS]
    assert len(set.union(*sets)) == 400 * len(SPLITS)


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


def test_names_and_numbers_come_again_in_other_sentences(train: list[WireExample]) -> None:
    shares = []
    for example in train:
        sentences = [set(TOKEN.findall(s)) for s in re.split(r"(?<=[.?]) ", example.article)]
        wanted = names_and_numbers(example.highlights)
        again = [token for token in wanted if sum(token in s for s in sentences) >= 2]
        shares.append(len(again) / len(wanted))
    assert sum(shares) / len(shares) > 0.3
    assert sum(share == 0 for share in shares) < len(shares) / 20


def test_the_lead_alone_does_not_hold_the_highlights(train: list[WireExample]) -> None:
    covered = []
    for example in train:
        wanted = names_and_numbers(example.highlights)
        lead = set(TOKEN.findall(" ".join(re.split(r"(?<=[.?]) ", example.article)[:2])))
        covered.append(len(wanted & lead) / len(wanted))
    assert sum(covered) / len(covered) < 0.7
    assert sum(share == 1 for share in covered) < len(covered) / 10


def test_each_desk_has_many_phrasings(train: list[WireExample]) -> None:
    told: dict[str, set[str]] = defaultdict(set)
    shown: dict[str, set[str]] = defaultdict(set)
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


@pytest.fixture(scope="module")
def tiny() -> GPTNeoForCausalLM:
    model = AutoModelForCausalLM.from_pretrained(TINY, local_files_only=True)
    assert isinstance(model, GPTNeoForCausalLM)
    model.train(False)
    return model


def test_tiny_is_a_small_gpt_neo_in_float32(tiny: GPTNeoForCausalLM) -> None:
    config = tiny.config
    assert {parameter.dtype for parameter in tiny.parameters()} == {torch.float32}
    assert 1_000_000 <= sum(parameter.numel() for parameter in tiny.parameters()) <= 4_000_000
    assert tiny.lm_head.weight is tiny.transformer.wte.weight
    assert (config.max_position_embeddings, config.window_size) == (512, 256)
    assert config.attention_layers == ["global", "local"] * 2
    assert config.hidden_size // config.num_heads >= 32


def test_tiny_ships_within_its_size_and_with_its_card() -> None:
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 8 * 1024**2
    assert {path.suffix for path in TINY.iterdir()} == {".json", ".md", ".safetensors"}
    card = (TINY / "README.md").read_text(encoding="utf-8")
    for word in ("tools/pretrain_tiny.py", "apache-2.0", "steps", "held-out loss"):
        assert word in card


def test_tiny_tokenizer_round_trips_and_has_one_special_token() -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY, local_files_only=True)
    assert tokenizer.all_special_tokens == ["<|endoftext|>"]
    assert tokenizer.bos_token_id == tokenizer.eos_token_id == tokenizer.pad_token_id == 0
    for text in ("A banker from Falton.\n\nTL;DR: jailed,  again .", "naïve 東京 🙂 \t"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert 0 not in ids


def test_tiny_predicts_articles_that_it_has_not_seen(tiny: GPTNeoForCausalLM) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY, local_files_only=True)
    nats = tokens = 0.0
    for example in generate(24, seed=1, split="validation"):
        ids_BT = tokenizer("<|endoftext|>" + example.article, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            loss = tiny(input_ids=ids_BT, labels=ids_BT).loss
        nats += float(loss) * (ids_BT.shape[1] - 1)
        tokens += ids_BT.shape[1] - 1
    # A uniform model needs 7.6 nats per token; measured when made: 1.2.
    assert nats / tokens < 2.0
