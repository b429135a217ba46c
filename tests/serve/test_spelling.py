"""Tokens of ``logprobs``: their bytes, their names and where they begin."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.engine.serving.sampling import Drawn
from bakeoff.engine.serving.text import TextStream
from bakeoff.serve.http.forms import Places, chat_logprobs, text_logprobs
from bakeoff.serve.spelling import Spelling
from tests.tokenizer_families import FAST, tokenizer_of

TEXT = "Hi 🎉 é the storm,  two"
PLAIN = "the storm, two"


def ids_of(tokenizer: Any, text: str) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return found


@pytest.mark.parametrize("family", FAST)
def test_tokens_add_up_to_the_text(family: str) -> None:
    tokenizer = tokenizer_of(family)
    text = PLAIN if family == "metaspace" else TEXT  # to it the others are unknown
    ids = ids_of(tokenizer, text)
    spelling = Spelling(tokenizer)
    first, *others = map(spelling.of, ids)
    assert first.begins + b"".join(spelt.adds for spelt in others) == text.encode()
    for strips in (False, True):
        stream, places = TextStream(tokenizer, [], strips=strips), Places(7, strips=strips)
        shown = "".join([*map(stream.add, ids), stream.end()])
        assert shown == text
        for spelt in (first, *others):
            place = places.of(spelt) - 7
            if not spelt.text.startswith("bytes:"):
                part = spelt.text if place else spelt.begins.decode()
                assert shown[place : place + len(part)] == part
        assert places.of(first) == 7 + len(text)


@pytest.mark.parametrize("family", ["llama", "byte_level"])
def test_parts_of_a_character_have_names_and_bytes_of_their_own(family: str) -> None:
    tokenizer = tokenizer_of(family)
    ids = ids_of(tokenizer, "🎉")[-4:]
    model: Any = SimpleNamespace(asking=SimpleNamespace(spelt=Spelling(tokenizer).of))
    top = tuple((token, -float(place)) for place, token in enumerate(ids))
    drawn = [Drawn(token, -1.0, top=top) for token in ids]
    [*found] = chat_logprobs(model, drawn, 4)["content"]
    assert bytes(byte for one in found for byte in one["bytes"]) == "🎉".encode()
    assert [one["token"] for one in found] == [f"bytes:\\x{byte:02x}" for byte in "🎉".encode()]
    written = text_logprobs(model, drawn, 4, Places(0, strips=False))
    assert written is not None and [len(one) for one in written["top_logprobs"]] == [4] * 4
    assert written["text_offset"] == [0, 0, 0, 0]


def test_a_token_keeps_its_space() -> None:
    tokenizer = tokenizer_of("llama")
    spelling = Spelling(tokenizer)
    spelt = spelling.of(tokenizer.convert_tokens_to_ids("▁storm"))
    assert (spelt.text, spelt.adds, spelt.begins) == (" storm", b" storm", b"storm")
    end = spelling.of(tokenizer.eos_token_id)
    assert (end.text, end.adds) == (tokenizer.eos_token, b"")
    assert spelling.of(len(tokenizer) + 5).content == b""


def test_of_two_tokens_that_read_alike_the_likelier_one_counts() -> None:
    tokenizer = tokenizer_of("llama")
    alike = tokenizer.convert_tokens_to_ids(["<0x74>", "t"])
    model: Any = SimpleNamespace(asking=SimpleNamespace(spelt=Spelling(tokenizer).of))
    drawn = [Drawn(alike[0], -0.5, top=((alike[0], -0.5), (alike[1], -2.0)))]
    written = text_logprobs(model, drawn, 2, Places(0, strips=False))
    assert written is not None and written["top_logprobs"] == [{"t": -0.5}]
