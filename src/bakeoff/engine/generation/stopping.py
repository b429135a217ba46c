"""Tokens that end an answer besides the end-of-text token."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError


def stop_ids(base: Base, tokens: Sequence[str]) -> list[int]:
    """The ids of tokens that end an answer, without that of the end-of-text token.

    Args:
        base: whose tokenizer. tokens: as it spells them.

    Raises:
        ConfigError: one is no token of the base.
    """
    tokenizer = base.tokenizer
    found = []
    for token in tokens:
        index = tokenizer.convert_tokens_to_ids(token)
        if not isinstance(index, int) or tokenizer.convert_ids_to_tokens(index) != token:
            raise ConfigError(
                f"generation.stop_tokens: {token!r} is not a token of the base; give tokens as its "
                "tokenizer spells them, such as <|im_end|>"
            )
        if index != tokenizer.eos_token_id:
            found.append(index)
    return found
