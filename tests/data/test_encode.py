from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bakeoff.data.encode import Encoded, TextEncoder
from bakeoff.data.examples import Span
from bakeoff.errors import DataError
from tests.tokenizer_families import FAMILIES, FAST, tokenizer_of


class Spy:
    """Stands in for a tokenizer and keeps what it was called with."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_token_id
        self.is_fast = tokenizer.is_fast
        self.added_tokens_decoder = tokenizer.added_tokens_decoder
        self.all_special_tokens = tokenizer.all_special_tokens
        self.all_special_ids = tokenizer.all_special_ids
        self.parallelism: list[str | None] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.parallelism.append(os.environ.get("TOKENIZERS_PARALLELISM"))
        return self.tokenizer(*args, **kwargs)


def encoder(tokenizer: Any, workers: int | None = None) -> TextEncoder:
    return TextEncoder(tokenizer, tokenizer_id="small", workers=workers)


def encode(tokenizer: Any, text: str, literal: Sequence[Span] = ()) -> Encoded:
    [encoded] = encoder(tokenizer).encode([text], [literal])
    return encoded


def plain(tokenizer: Any, text: str, *, literal: bool = False) -> list[int]:
    found: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=literal)[
        "input_ids"
    ]
    return found


TEXTS = [
    "A storm left towns.",
    "the storm\n\nTL;DR: the coast",
    " two  spaces in front, and one behind ",
    "The end\n",
    "",
]


@pytest.mark.parametrize("family", FAST)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_tokens_of_running_text(family: str, text: str) -> None:
    tokenizer = tokenizer_of(family)
    half = len(text) // 2
    encoded = encode(tokenizer, text, [(0, half)])
    assert encoded.ids.tolist() == plain(tokenizer, text)
    assert encoded.offsets.shape == (len(encoded.ids), 2)
    assert encoded.ids.dtype == np.int32


@pytest.mark.parametrize("text", TEXTS)
def test_a_tokenizer_without_offsets_is_given_pieces(text: str) -> None:
    tokenizer = tokenizer_of("slow")
    half = len(text) // 2
    encoded = encode(tokenizer, text, [(0, half)])
    # One token a byte: cutting changes nothing.
    assert encoded.ids.tolist() == plain(tokenizer, text)
    assert encoded.touching([(0, half)]).tolist() == [i < half for i in range(len(text))]


def test_a_tokenizer_without_offsets_is_cut_where_it_will_be_asked() -> None:
    text = "the storm: the coast"
    [encoded] = encoder(tokenizer_of("slow")).encode([text], [[(0, 9)]], [[(10, 20)]])
    assert encoded.touching([(10, 20)]).tolist() == [False] * 10 + [True] * 10


@pytest.mark.parametrize("family", FAST)
def test_offsets_are_the_library_s_own(family: str) -> None:
    tokenizer, text = tokenizer_of(family), "the storm\n\nTL;DR: the coast"
    span = (text.index(":") + 1, len(text))
    found = tokenizer(text, add_special_tokens=False)
    places = {found.char_to_token(i) for i in range(*span)} - {None}
    touching = encode(tokenizer, text).touching([span])
    assert set(np.flatnonzero(touching).tolist()) == places


def test_touching_by_hand() -> None:
    offsets = np.array([[0, 2], [2, 2], [2, 5], [5, 6], [6, 6]], dtype=np.int64)
    encoded = Encoded(np.arange(5, dtype=np.int32), offsets)
    assert encoded.touching([]).tolist() == [False] * 5
    assert encoded.touching([(0, 1)]).tolist() == [True, False, False, False, False]
    # A token of no width counts as one character where it stands.
    assert encoded.touching([(2, 3)]).tolist() == [False, True, True, False, False]
    assert encoded.touching([(1, 2), (5, 6)]).tolist() == [True, False, False, True, False]
    assert encoded.touching([(2, 2)]).tolist() == [False] * 5


def test_a_dummy_prefix_stays_at_the_start(spaced_tokenizer: Any) -> None:
    tokens = spaced_tokenizer.convert_ids_to_tokens
    assert tokens(encode(spaced_tokenizer, "storm").ids.tolist()) == ["▁storm"]
    second, third = encoder(spaced_tokenizer).following(["storm", " storm"])
    assert "▁" not in "".join(tokens(second.tolist()))
    assert tokens(third.tolist()) == ["▁storm"]


def test_an_anchor_that_melts_into_the_text_is_given_up(spaced_tokenizer: Any) -> None:
    encoder_ = encoder(spaced_tokenizer)
    encoder_._anchor_ids = encoder_._anchor_ids + 1  # as if no encoded text began with the anchor
    [found] = encoder_.following(["storm"])
    assert found.tolist() == plain(spaced_tokenizer, "storm")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_special_token_is_meant_in_the_template_and_literal_in_data(family: str) -> None:
    tokenizer = tokenizer_of(family)
    eos = tokenizer.eos_token
    data = f"a{eos}b"
    text = f"the {data}{eos} coast{eos}"
    start = text.index(data)
    span = (start, start + len(data))
    encoded = encode(tokenizer, text, [span])
    meant = np.flatnonzero(encoded.ids == tokenizer.eos_token_id)
    assert len(meant) == 2
    assert [tuple(encoded.offsets[i]) for i in meant] == [
        (span[1], span[1] + len(eos)),
        (len(text) - len(eos), len(text)),
    ]
    # What the data spell comes back as it was.
    inside = encoded.ids[encoded.touching([span])].tolist()
    assert tokenizer.decode(inside).lstrip() == data
    assert encode(tokenizer, text, [(0, len(text))]).ids.tolist() == plain(
        tokenizer, text, literal=True
    )


def test_a_special_token_across_a_joint_is_plain_text(tokenizer: Any) -> None:
    eos = tokenizer.eos_token
    for half in (1, len(eos) - 1):
        encoded = encode(tokenizer, eos, [(0, half)])
        assert tokenizer.eos_token_id not in encoded.ids
        assert tokenizer.decode(encoded.ids) == eos


def test_offsets_behind_a_special_token_are_of_the_whole_text(tokenizer: Any) -> None:
    eos = tokenizer.eos_token
    text = f"a {eos} storm{eos}the coast"
    encoded = encode(tokenizer, text, [(0, text.index("storm"))])
    spelt = [text[first:past] for first, past in encoded.offsets.tolist()]
    assert "".join(spelt) == text
    assert [tokenizer.decode([id_]) for id_ in encoded.ids.tolist()] == spelt


@pytest.mark.parametrize("family", FAMILIES)
def test_start_ids_are_the_tokenizer_s_default(family: str) -> None:
    tokenizer = tokenizer_of(family)
    expected = (
        []
        if "<s>" not in tokenizer.convert_ids_to_tokens(tokenizer("a")["input_ids"])
        else [tokenizer.convert_tokens_to_ids("<s>")]
    )
    assert encoder(tokenizer).start_ids.tolist() == expected
    assert bool(expected) == (family in ("byte_level_bos", "metaspace", "llama"))


def test_many_texts_keep_their_order(tokenizer: Any) -> None:
    # Every third one goes another way than the rest.
    texts = [f"storm {i}" + tokenizer.eos_token * (i % 3 == 0) for i in range(2500)]
    encoded = encoder(tokenizer).encode(texts, [[(0, len(text))] for text in texts])
    assert [tokenizer.decode(found.ids) for found in encoded] == texts


@pytest.mark.parametrize(
    ("workers", "set_by_user", "expected"),
    [(1, None, "false"), (4, None, "true"), (None, None, "true"), (None, "false", "false")],
)
def test_workers(
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    workers: int | None,
    set_by_user: str | None,
    expected: str,
) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if set_by_user is not None:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", set_by_user)
    spy = Spy(tokenizer)
    encoder_ = encoder(spy, workers)
    spy.parallelism.clear()
    encoder_.encode(["storm"], [[]])
    assert spy.parallelism == [expected]
    assert os.environ.get("TOKENIZERS_PARALLELISM") == set_by_user


def test_a_tokenizer_without_end_of_text_is_refused(tokenizer: Any) -> None:
    spy = Spy(tokenizer)
    spy.eos_token_id = None
    with pytest.raises(DataError, match="small has no end-of-text token"):
        encoder(spy)
