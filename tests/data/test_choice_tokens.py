"""Choices as they follow a prompt: the tokens of running text, and equal ones only once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from bakeoff.data.choice_tokens import ChoiceTokens
from bakeoff.data.encode import TextEncoder
from tests.tokenizer_families import FAMILIES, FAST, tokenizer_of, train_tokenizer

WORDS = ("storm", "the coast", "x", "雨", "it's", "1234", "...", "é", "C++", "🌧")


class Counted(TextEncoder):
    """Counts the texts that it encodes."""

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer, tokenizer_id="small")
        self.num_texts = 0

    def encode(self, texts: Sequence[str], *others: Any) -> Any:
        self.num_texts += len(texts)
        return super().encode(texts, *others)


def listed(found: Sequence[Sequence[Any]]) -> list[list[list[int]]]:
    return [[ids.tolist() for ids in of_prompt] for of_prompt in found]


@pytest.mark.parametrize("family", FAMILIES)
def test_many_prompts_have_the_tokens_of_running_text(family: str) -> None:
    """Whatever they end in, and whatever was tokenised before."""
    tokenizer = tokenizer_of(family)
    tokens = ChoiceTokens(TextEncoder(tokenizer, tokenizer_id=family))
    rng = random.Random(0)

    def plain(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    prompts, choices = [], []
    for _ in range(150):
        words = rng.choices(WORDS, k=rng.randint(1, 3))
        prompts.append(" ".join(words) + rng.choice(["", ":", "\n\nLabel:"]))
        gap = rng.choice([" ", "\n", "\t"])
        choices.append(tuple(gap + word for word in rng.sample(WORDS, k=3)))
    found = tokens.of(prompts[:100], choices[:100]) + tokens.of(prompts[100:], choices[100:])
    for prompt, given, ids in zip(prompts, choices, listed(found), strict=True):
        asked = plain(prompt)
        for choice, one in zip(given, ids, strict=True):
            assert [*asked, *one] == plain(prompt + choice), (prompt, choice)


@pytest.mark.parametrize("family", [f for f in FAST if f != "bytes"])
def test_labels_are_tokenised_once_for_all_prompts(family: str) -> None:
    encoder = Counted(tokenizer_of(family))
    tokens = ChoiceTokens(encoder)
    labels = tuple(f" label {i}" for i in range(50))
    found = tokens.of([f"storm {word}" for word in WORDS], [labels] * len(WORDS))
    assert encoder.num_texts == 51
    assert all(one is found[0] for one in found)
    # Equal ones, but not the same object: as of rows that each have their own.
    [again] = tokens.of(["another prompt"], [tuple(f" label {i}" for i in range(50))])
    assert again is found[0]
    assert encoder.num_texts == 51


def test_a_choice_that_melts_into_one_prompt_has_the_tokens_that_it_has_after_others() -> None:
    """In a vocabulary with a token over a space, as superwords are."""
    tokenizer = train_tokenizer()
    tokenizer.add_tokens(["m a"])
    tokens = ChoiceTokens(TextEncoder(tokenizer, tokenizer_id="small"))
    choices = (" a", " b")
    melted, apart, alike = tokens.of(["the storm", "the coast", "a coast"], [choices] * 3)
    whole = tokenizer("the storm a", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_tokens_to_ids("m a") in whole
    assert melted is apart and apart is alike
    coast = tokenizer("the coast", add_special_tokens=False)["input_ids"]
    right = tokenizer("the coast a", add_special_tokens=False)["input_ids"][len(coast) :]
    assert listed([apart])[0][0] == right


def test_a_special_token_before_a_choice_is_looked_at() -> None:
    """It may swallow the space behind it."""
    from tokenizers import AddedToken

    tokenizer = train_tokenizer()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken("<|says|>", rstrip=True, special=True)]}
    )
    tokens = ChoiceTokens(TextEncoder(tokenizer, tokenizer_id="small"))
    [plain, swallowed] = tokens.of(["it says:", "it<|says|>"], [(" a", " b")] * 2)
    for prompt, found in (("it says:", plain), ("it<|says|>", swallowed)):
        asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for choice, ids in zip((" a", " b"), found, strict=True):
            whole = tokenizer(prompt + choice, add_special_tokens=False)["input_ids"]
            assert [*asked, *ids.tolist()] == whole, prompt
    assert listed([plain]) != listed([swallowed])


def test_prompts_without_choices_are_not_tokenised() -> None:
    encoder = Counted(tokenizer_of("byte_level"))
    assert ChoiceTokens(encoder).of(["a", "b"], [(), ()]) == [(), ()]
    assert encoder.num_texts == 0


def test_what_is_remembered_has_a_bound() -> None:
    encoder = Counted(train_tokenizer())
    tokens = ChoiceTokens(encoder, most=2000)
    labels = (" good", " bad")
    expected = listed(tokens.of(["It was"], [labels]))
    before = encoder.num_texts
    assert listed(tokens.of(["It was"], [labels])) == expected
    assert encoder.num_texts == before  # remembered
    for number in range(50):
        choices = (f" storm {number}", f" calm {number}")
        assert listed(tokens.of(["It was"], [choices])) == listed(
            ChoiceTokens(encoder).of(["It was"], [choices])
        )
    assert len(tokens._equal) <= len(tokens._found) <= 2000 // 300
    assert listed(tokens.of(["It was"], [labels])) == expected
    # More at once than may be kept are right, and kept no longer than they are asked for.
    long = (" word" * 200, " other" * 200)
    assert listed(tokens.of(["a"], [long])) == listed(ChoiceTokens(encoder).of(["a"], [long]))
    assert not tokens._found and not tokens._equal
