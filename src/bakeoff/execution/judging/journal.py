"""``judge/calls.jsonl``: every answer of the judge and every failed request, as it comes.

It is only ever added to, and it is what a later call goes on from: a question that has an answer
here is not asked again. A line without an end, as a killed process leaves it, is removed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bakeoff.execution.judging.client import Reply
from bakeoff.execution.judging.prompts import Side, side_of
from bakeoff.files import check_held, disk_errors, sync

CALLS_FILE: Final = "judge/calls.jsonl"
_MOST_TEXT: Final = 4000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What an answer of the judge says; ``side`` is None where it says nothing."""

    side: Side | None
    text: str


class CallJournal:
    """All calls of a run's judge.

    Args:
        folder: the run's, held by this process.

    Attributes:
        verdicts: by the key of a question. requests: that were sent, tries included.
        failed: questions that got no answer, each time. input_tokens, output_tokens: of all
            answers. has_estimates: whether a server did not count some of them.
        last_failure: in words.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / CALLS_FILE
        self.verdicts: dict[str, Verdict] = {}
        self.requests = 0
        self.failed = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.has_estimates = False
        self.last_failure = ""
        with disk_errors(self.path):
            content = self.path.read_bytes() if self.path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                os.truncate(self.path, len(whole))
        for line in whole.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
                continue  # a damaged line is a call that is made again

    @property
    def unreadable(self) -> int:
        """Answers that hold no verdict."""
        return sum(found.side is None for found in self.verdicts.values())

    def keep_reply(self, key: str, reply: Reply, *, tries: int, estimate: tuple[int, int]) -> None:
        """Keeps an answer.

        Args:
            key: of the question. reply: to it. tries: requests that it took.
            estimate: tokens read and written, where the server does not count them.
        """
        is_counted = reply.input_tokens is not None and reply.output_tokens is not None
        read, written = (
            given if given is not None else guess
            for given, guess in zip(
                (reply.input_tokens, reply.output_tokens), estimate, strict=True
            )
        )
        side = side_of(reply.text)
        self._add(
            {
                "key": key,
                "verdict": None if side is None else side.value,
                "text": reply.text[-_MOST_TEXT:],
                "input_tokens": read,
                "output_tokens": written,
                "estimated": not is_counted,
                "tries": tries,
            }
        )

    def keep_failure(self, key: str, why: str, *, tries: int) -> None:
        """Keeps that a question got no answer."""
        self._add({"key": key, "failed": why[:_MOST_TEXT], "tries": tries})

    def _add(self, line: dict[str, Any]) -> None:
        content = json.dumps(line, ensure_ascii=False) + "\n"
        with disk_errors(self.path):
            check_held(self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not self.path.exists()
            with self.path.open("ab") as file:
                file.write(content.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync(self.path.parent)
        self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        tries, key = int(line["tries"]), str(line["key"])
        if "failed" in line:
            self.requests += tries
            self.failed += 1
            self.last_failure = str(line["failed"])
            return
        verdict, text = line["verdict"], str(line["text"])
        side = None if verdict is None else Side(verdict)
        read, written = int(line["input_tokens"]), int(line["output_tokens"])
        self.requests += tries
        self.input_tokens += read
        self.output_tokens += written
        self.has_estimates = self.has_estimates or bool(line["estimated"])
        self.verdicts[key] = Verdict(side=side, text=text)
