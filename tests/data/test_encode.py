from __future__ import annotations

import os
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from bakeoff.data.encode import PieceEncoder
from bakeoff.errors import DataError


class Spy:
    """Stands in for a tokenizer and keeps what it was called with."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_token_id
        self.parallelism: list[str | None] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.parallelism.append(os.environ.get("TOKENIZERS_PARALLELISM"))
        return self.tokenizer(*args, **kwargs)


def encoder(tokenizer: Any, workers: int | None = None) -> PieceEncoder:
    return PieceEncoder(tokenizer, tokenizer_id="small", workers=workers)


def test_pieces_join_to_running_text(tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = encoder(tokenizer)
    (first,) = pieces.encode(["A storm"], at_start=True, literal=True)
    (second,) = pieces.encode([" left towns."], at_start=False, literal=True)
    whole = tokenizer("A storm left towns.")["input_ids"]
    assert [*first, *second] == whole


def test_a_dummy_prefix_stays_at_the_start(spaced_tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = encoder(spaced_tokenizer)
    (first,) = pieces.encode(["storm"], at_start=True, literal=True)
    second, third = pieces.encode(["storm", " storm"], at_start=False, literal=True)
    tokens = spaced_tokenizer.convert_ids_to_tokens
    assert tokens(first.tolist()) == ["▁storm"]
    assert "▁" not in "".join(tokens(second.tolist()))
    assert tokens(third.tolist()) == ["▁storm"]


def test_an_anchor_that_melts_into_the_text_is_given_up(
    spaced_tokenizer: PreTrainedTokenizerFast,
) -> None:
    pieces = encoder(spaced_tokenizer)
    pieces._anchor_ids = pieces._anchor_ids + 1  # as if no encoded text began with the anchor
    (plain,) = pieces.encode(["storm"], at_start=True, literal=True)
    assert pieces.encode(["storm"], at_start=False, literal=True)[0].tolist() == plain.tolist()


def test_special_tokens_in_data_are_plain_text(tokenizer: PreTrainedTokenizerFast) -> None:
    pieces = encoder(tokenizer)
    (data,) = pieces.encode(["a<|endoftext|>b"], at_start=True, literal=True)
    template = pieces.piece("a<|endoftext|>b", at_start=True)
    assert pieces.eos_id not in data
    assert pieces.eos_id in template
    assert pieces.piece("", at_start=True).tolist() == []


def test_start_ids_are_the_tokenizer_s_default(
    tokenizer: PreTrainedTokenizerFast, spaced_tokenizer: PreTrainedTokenizerFast
) -> None:
    assert encoder(tokenizer).start_ids.tolist() == []
    assert encoder(spaced_tokenizer).start_ids.tolist() == [spaced_tokenizer.bos_token_id]


def test_many_texts_keep_their_order(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [f"storm {i}" for i in range(2500)]
    encoded = encoder(tokenizer).encode(texts, at_start=True, literal=True)
    assert [tokenizer.decode(ids) for ids in encoded] == texts


@pytest.mark.parametrize(
    ("workers", "set_by_user", "expected"),
    [(1, None, "false"), (4, None, "true"), (None, None, "true"), (None, "false", "false")],
)
def test_workers(
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
    workers: int | None,
    set_by_user: str | None,
    expected: str,
) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if set_by_user is not None:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", set_by_user)
    spy = Spy(tokenizer)
    pieces = encoder(spy, workers)
    spy.parallelism.clear()
    pieces.encode(["storm"], at_start=True, literal=True)
    assert spy.parallelism == [expected]
    assert os.environ.get("TOKENIZERS_PARALLELISM") == set_by_user


def test_a_tokenizer_without_end_of_text_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    spy = Spy(tokenizer)
    spy.eos_token_id = None
    with pytest.raises(DataError, match="small has no end-of-text token"):
        encoder(spy)
