"""Small tokenizers and files for the tests of the data path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

LINES = [
    "A storm hit the coast on Monday and the storm left two towns without power.",
    "Shares rose on Tuesday after the company reported a profit of two million.",
    "Storm leaves towns without power.\nCompany reports profit.",
    "Summary: TL;DR: the storm, the coast, the company, the towns.",
]
EOS = "<|endoftext|>"

Write = Callable[[str, Sequence[Mapping[str, object]]], Path]


def train_tokenizer(*, dummy_prefix: bool = False, bos: bool = False) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of the test's own lines.

    Args:
        dummy_prefix: as SentencePiece does, put a space before whatever text is given.
        bos: put ``<s>`` before every text by default.
    """
    backend = Tokenizer(models.BPE())
    special = [EOS, "<s>"]
    if dummy_prefix:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Metaspace(prepend_scheme="first")
        alphabet = sorted({"\n", *"".join(LINES)} - {" "})
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(LINES, trainer)
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
        )
    make: Any = PreTrainedTokenizerFast  # untyped
    options: dict[str, Any] = {"eos_token": EOS, "bos_token": "<s>"}
    wrapped: PreTrainedTokenizerFast = make(tokenizer_object=backend, **options)
    return wrapped


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level, without begin-of-text, as GPT-2's."""
    return train_tokenizer()


@pytest.fixture(scope="session")
def spaced_tokenizer() -> PreTrainedTokenizerFast:
    """With a dummy prefix and begin-of-text, as Llama-2's."""
    return train_tokenizer(dummy_prefix=True, bos=True)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes rows as JSON lines and returns the file."""

    def write_rows(name: str, rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return write_rows
