"""The bytes of single tokens as the tokenizer spells them: one may be a part of a character."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE: Final = "▁"


@dataclass(frozen=True, kw_only=True)
class Spelt:
    """One token.

    Attributes:
        content: its bytes in UTF-8, of a special token its name's.
        adds: what it adds to a text. begins: likewise where it is a text's first token, of which
            SentencePiece's tokenizers leave out the space in front. Special tokens add nothing.
    """

    content: bytes
    adds: bytes
    begins: bytes

    @property
    def text(self) -> str:
        """The token as OpenAI names it: a part of a character as ``bytes:\\xf0\\x9f``."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in self.content)


class Spelling:
    """Spells the tokens of one tokenizer: byte-level ones and those of SentencePiece by their own
    alphabets, others by what they decode to alone.

    Args:
        tokenizer: the base's.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        decoder = None if backend is None else json.loads(backend.to_str())["decoder"]
        parts = list(_parts(decoder or {}))
        kinds = {part["type"] for part in parts}
        is_byte_level = "ByteLevel" in kinds
        self._alphabet = {c: b for b, c in bytes_to_unicode().items()} if is_byte_level else {}
        self._has_bytes = "ByteFallback" in kinds
        self._has_spaces = any(
            part.get("replacement") == _SPACE or part.get("pattern") == {"String": _SPACE}
            for part in parts
        )
        self._added = {int(i): str(token) for i, token in tokenizer.added_tokens_decoder.items()}
        self._special = frozenset(tokenizer.all_special_ids)

    def of(self, token: int) -> Spelt:
        """A token by its id; one that the tokenizer does not have is empty."""
        if token in self._special:
            content = str(self._tokenizer.convert_ids_to_tokens(token)).encode()
            return Spelt(content=content, adds=b"", begins=b"")
        alone = str(self._tokenizer.decode([token]))
        content = self._content(token, alone)
        drops = content.startswith(b" ") and not alone.startswith(" ")
        return Spelt(content=content, adds=content, begins=content[1:] if drops else content)

    def _content(self, token: int, alone: str) -> bytes:
        if token in self._added:
            return self._added[token].encode()
        spelt = self._tokenizer.convert_ids_to_tokens(token)
        if not isinstance(spelt, str):
            return b""
        if self._alphabet and all(character in self._alphabet for character in spelt):
            return bytes(self._alphabet[character] for character in spelt)
        if self._has_bytes and (byte := _BYTE.fullmatch(spelt)):
            return bytes.fromhex(byte[1])
        return (spelt.replace(_SPACE, " ") if self._has_spaces else alone).encode()


def _parts(decoder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps of a decoder of the library ``tokenizers``, by its JSON."""
    for part in decoder.get("decoders", ()):
        yield from _parts(part)
    if "type" in decoder:
        yield decoder
