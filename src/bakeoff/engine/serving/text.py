"""An answer's text as it grows: whole characters only, and nothing that may yet be a stop text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_BROKEN = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Turns tokens into text piece by piece; the pieces, joined, are the whole answer.

    Args:
        tokenizer: the base's.
        stop: texts that end the answer and are no part of it.
        strips: whether white space at both ends of the answer is left out, as in predictions.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], *, strips: bool
    ) -> None:
        self._tokenizer = tokenizer
        self._stop = [text for text in stop if text]
        self._strips = strips
        self._ids: list[int] = []
        # Where those begin that the tokenizer is shown once more, by which it puts spaces, and the
        # new ones. Both are between whole characters: cut within one, the rest of its tokens are no
        # character any more.
        self._from = self._read = 0
        self._held = ""
        self._has_begun = False
        self.is_stopped = False

    def add(self, token: int) -> str:
        """One more token; returns what may be shown now, often nothing."""
        self._ids.append(token)
        before = self._decode(self._ids[self._from : self._read])
        whole = self._decode(self._ids[self._from :])
        if whole.endswith(_BROKEN) and len(self._ids) - self._read < 8:
            return ""  # a character that its last token completes
        new = whole[len(before) :]
        self._held += new
        if new:  # else only special tokens came, and they show the tokenizer nothing
            self._from = self._read
        self._read = len(self._ids)
        return self._release(ends=False)

    def end(self) -> str:
        """The rest."""
        if self.is_stopped:
            return ""
        before = self._decode(self._ids[self._from : self._read])
        self._held += self._decode(self._ids[self._from :])[len(before) :]
        self._read = len(self._ids)
        return self._release(ends=True)

    def _decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        assert isinstance(text, str)
        return text

    def _release(self, *, ends: bool) -> str:
        if self._strips and not self._has_begun:
            self._held = self._held.lstrip()
            self._has_begun = bool(self._held)
        places = [p for text in self._stop if (p := self._held.find(text)) >= 0]
        if places:
            self._held, self.is_stopped = self._held[: min(places)], True
            ends = True
        keep = 0 if ends else self._open_end()
        shown = self._held[: len(self._held) - keep]
        if self._strips:
            # White space is shown only before something else.
            cut = shown.rstrip()
            shown = cut if not ends else self._held.rstrip()
        self._held = "" if ends else self._held[len(shown) :]
        return shown

    def _open_end(self) -> int:
        """Characters at the end that a stop text may begin with."""
        longest = 0
        for text in self._stop:
            for size in range(min(len(text) - 1, len(self._held)), longest, -1):
                if self._held.endswith(text[:size]):
                    longest = size
                    break
        return longest
