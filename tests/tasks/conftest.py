"""Rows in files, and tasks prepared on small tokenizers."""

from __future__ import annotations

from tests.data.conftest import spaced_tokenizer, tokenizer, write

__all__ = ["spaced_tokenizer", "tokenizer", "write"]
