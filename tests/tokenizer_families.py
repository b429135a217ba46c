"""Small tokenizers of the families that bases come with, made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoTokenizer,
    ByT5Tokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

import bakeoff.base
from bakeoff.base.weights.scratch import byte_tokenizer

LINES = [
    "A storm hit the coast on Monday and the storm left two towns without power.",
    "Shares rose on Tuesday after the company reported a profit of two million.",
    "Storm leaves towns without power.\nCompany reports profit.",
    "Summary: TL;DR: the storm, the coast, the company, the towns.",
]
EOS = "<|endoftext|>"


def train_tokenizer(
    *,
    dummy_prefix: bool = False,
    bos: bool = False,
    trim: bool = False,
    lowercase: bool = False,
    drops: bool = False,
) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of the lines above.

    Args:
        dummy_prefix: as SentencePiece does, put a space before whatever text is given; what is not
            ASCII is unknown.
        bos: put ``<s>`` before every text by default.
        trim: leave the space before a word out of its offsets, as GPT-2's does.
        lowercase: take every text in small letters.
        drops: with ``dummy_prefix``, leave out what is unknown.
    """
    special = [EOS, "<s>"]
    if dummy_prefix and not drops:
        special.append("<unk>")
    backend = Tokenizer(models.BPE(unk_token=special[2] if special[2:] else None))
    if lowercase:
        backend.normalizer = normalizers.Lowercase()
    if dummy_prefix:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        backend.decoder = decoders.Metaspace(prepend_scheme="first")
        alphabet = ["\n", *(chr(code) for code in range(33, 127))]
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
    elif trim:
        backend.post_processor = processors.ByteLevel(trim_offsets=True)
    return _wrapped(backend)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama-2's: a normalizer puts the space in front, unknown characters become bytes."""
    vocabulary = {EOS: 0, "<s>": 1, **{f"<0x{byte:02X}>": byte + 2 for byte in range(256)}}
    for token in sorted({"▁", *"".join(LINES)} - {" ", "\n"}):
        vocabulary[token] = len(vocabulary)
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("o", "r"), ("s", "t"), ("st", "or")]
    merges += [("stor", "m"), ("▁", "storm")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1),
        ]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return _wrapped(backend)


def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """The embedded base's."""
    make: Any = AutoTokenizer  # untyped
    found: PreTrainedTokenizerBase = make.from_pretrained(
        Path(bakeoff.base.__file__).parent / "tiny"
    )
    return found


def slow_tokenizer() -> PreTrainedTokenizerBase:
    """One that is written in Python and knows no offsets."""
    make: Any = ByT5Tokenizer  # untyped
    found: PreTrainedTokenizerBase = make(eos_token="</s>", extra_ids=0)
    assert not found.is_fast
    return found


def _wrapped(backend: Tokenizer) -> PreTrainedTokenizerFast:
    make: Any = PreTrainedTokenizerFast  # untyped
    options: dict[str, Any] = {"eos_token": EOS, "bos_token": "<s>"}
    wrapped: PreTrainedTokenizerFast = make(tokenizer_object=backend, **options)
    return wrapped


FAMILIES: Final[Mapping[str, Callable[[], PreTrainedTokenizerBase]]] = {
    "tiny": tiny_tokenizer,
    "bytes": lambda: byte_tokenizer(512),
    "gpt2": lambda: train_tokenizer(trim=True),
    "byte_level": train_tokenizer,
    "byte_level_bos": lambda: train_tokenizer(bos=True),
    "metaspace": lambda: train_tokenizer(dummy_prefix=True, bos=True),
    "llama": llama_tokenizer,
    "slow": slow_tokenizer,
}
FAST: Final = tuple(name for name in FAMILIES if name != "slow")


@cache
def tokenizer_of(family: str) -> Any:
    """A tokenizer of a family; Any, since the library's types lack most methods."""
    return FAMILIES[family]()
