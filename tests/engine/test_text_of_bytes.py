"""Answers of tokenizers that spell a rare character as its bytes, such as Llama's."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from bakeoff.engine.serving.text import TextStream

EMOJI = {
    "party": "Hi🎉🎉🎉🎉b",
    "alone": "🎉",
    "flags": "of 🇩🇪🇫🇷🇯🇵 all",
    "skin": "hello 👋🏽👋🏿 there",
    "family": "a 👨‍👩‍👧‍👦 and a 👩‍👩‍👦",
    "mixed": "é 漢字 🎉 e",
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A vocabulary of ASCII and bytes, decoded as Llama's is."""
    characters = ["<unk>", "<end>", "▁", *map(chr, range(33, 127))]
    vocabulary = [*characters, *(f"<0x{byte:02X}>" for byte in range(256))]
    made = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(vocabulary)},
            merges=[],
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    made.normalizer = normalizers.Sequence(spaces)
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="<end>")


def pieces_of(stream: TextStream, ids: list[int]) -> list[str]:
    pieces = []
    for token in ids:
        pieces.append(stream.add(token))
        if stream.is_stopped:
            break
    return [*pieces, stream.end()]


@pytest.mark.parametrize("name", EMOJI)
def test_characters_of_several_tokens_come_whole(
    tokenizer: PreTrainedTokenizerFast, name: str
) -> None:
    text = EMOJI[name]
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text and len(ids) > len(text)
    pieces = pieces_of(TextStream(tokenizer, [], strips=False), ids)
    assert "".join(pieces) == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)


def test_a_stop_text_ends_among_them(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("Yes 🎉🎉🎉🎉 🛑🎉 more")["input_ids"]
    stream = TextStream(tokenizer, ["🛑"], strips=True)
    assert "".join(pieces_of(stream, ids)) == "Yes 🎉🎉🎉🎉"
    assert stream.is_stopped


def test_a_space_behind_a_special_token_stays(tokenizer: PreTrainedTokenizerFast) -> None:
    end = tokenizer.eos_token_id
    assert isinstance(end, int)
    ids = [*tokenizer("one")["input_ids"], end, end, *tokenizer("two")["input_ids"]]
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(pieces_of(TextStream(tokenizer, [], strips=False), ids)) == whole == "one two"
