"""Answers of tokenizers that spell a rare character as its bytes, such as Llama's."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerBase

from bakeoff.engine.serving.text import TextStream
from tests.tokenizer_families import llama_tokenizer

EMOJI = {
    "party": "Hi🎉🎉🎉🎉b",
    "alone": "🎉",
    "flags": "of 🇩🇪🇫🇷🇯🇵 all",
    "skin": "hello 👋🏽👋🏿 there",
    "family": "a 👨‍👩‍👧‍👦 and a 👩‍👩‍👦",
    "mixed": "é 漢字 🎉 e",
}


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerBase:
    return llama_tokenizer()


def ids_of(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


def pieces_of(stream: TextStream, ids: list[int]) -> list[str]:
    pieces = []
    for token in ids:
        pieces.append(stream.add(token))
        if stream.is_stopped:
            break
    return [*pieces, stream.end()]


@pytest.mark.parametrize("name", EMOJI)
def test_characters_of_several_tokens_come_whole(
    tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    text = EMOJI[name]
    ids = ids_of(tokenizer, text)
    assert tokenizer.decode(ids) == text
    pieces = pieces_of(TextStream(tokenizer, [], strips=False), ids)
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


def test_a_stop_text_ends_among_them(tokenizer: PreTrainedTokenizerBase) -> None:
    ids = ids_of(tokenizer, "Yes 🎉🎉🎉🎉 🛑🎉 more")
    stream = TextStream(tokenizer, ["🛑"], strips=True)
    assert "".join(pieces_of(stream, ids)) == "Yes 🎉🎉🎉🎉"
    assert stream.is_stopped


def test_a_space_behind_a_special_token_stays(tokenizer: PreTrainedTokenizerBase) -> None:
    end = tokenizer.eos_token_id
    assert isinstance(end, int)
    ids = [*ids_of(tokenizer, "one"), end, end, *ids_of(tokenizer, "two")]
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(pieces_of(TextStream(tokenizer, [], strips=False), ids)) == whole == "one two"
