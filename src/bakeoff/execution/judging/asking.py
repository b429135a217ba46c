"""Which questions a judge is asked, row by row, within bounds that hold over all calls.

Rows come in an order that a seed draws, and a row is begun only where all its questions fit within
the bounds. So all that are compared are judged on the same rows, wherever a bound ends it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from bakeoff.errors import EndpointError
from bakeoff.execution.judging.client import CallFailedError, ChatClient, Reply
from bakeoff.execution.judging.journal import CallJournal
from bakeoff.execution.judging.prompts import Question, Side, key_of, messages_of
from bakeoff.metrics.judge import JudgeOptions, TokenPrices

BYTES_OF_TOKEN: Final = 3
"""Few enough that tokens of most texts are not estimated too low."""
_MOST_FAILED: Final = 5
"""Questions without an answer, one after the other, after which the server is given up."""
_FEWEST_READ: Final = 20
"""Answers from which on their form is judged."""
_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """Answers of one run, or of a baseline.

    Attributes:
        run: the candidate's id, or the baseline's name. name: the method's, or the baseline's.
        answers: [N] to the test rows.
    """

    run: str
    name: str
    answers: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The test rows: [N] what was asked, what is shown as right, and what all is compared with."""

    tasks: Sequence[str]
    references: Sequence[str | None]
    against: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A run's answer to a row against the fixed one: a question in both orders.

    Attributes:
        row: its index. question: with the run's answer as A.
        keys: of the question, and of it in the other order; none where the answers are equal.
    """

    row: int
    contestant: Contestant
    question: Question
    keys: tuple[str, str] | None


class _BoundReachedError(Exception):
    """No further request may be sent."""


class Asking:
    """Asks whatever of some pairs has no verdict yet.

    Args:
        options: the study's. prices: of the judge's tokens. client: whom to ask.
        journal: what is known. stop: asked between answers; why to stop now, or None.
        progress: called with rows done and in all.

    Attributes:
        why_fewer: why not all rows were judged, in words; None where they were.
    """

    def __init__(
        self,
        options: JudgeOptions,
        prices: TokenPrices,
        client: ChatClient,
        cancelled: threading.Event,
        journal: CallJournal,
        *,
        stop: Callable[[], BaseException | None] = lambda: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._options, self._prices, self._client = options, prices, client
        self._cancelled, self._journal = cancelled, journal
        self._stop, self._progress = stop, progress
        self._lock = threading.Lock()
        self._sent = journal.requests
        self._failed_in_a_row = 0
        self.why_fewer: str | None = None

    def pairs_of(self, row: int, rows: Rows, contestants: Sequence[Contestant]) -> list[Pair]:
        """A row's pairs; equal answers need no judge."""
        found = []
        for contestant in contestants:
            question = Question(
                task=rows.tasks[row],
                a=contestant.answers[row],
                b=rows.against[row],
                reference=rows.references[row],
            )
            is_equal = question.a.strip() == question.b.strip()
            keys = None if is_equal else (self._key(question), self._key(question.swapped()))
            found.append(Pair(row=row, contestant=contestant, question=question, keys=keys))
        return found

    def run(self, rows: Rows, contestants: Sequence[Contestant]) -> Iterator[list[Pair]]:
        """Yields each row's pairs once all of them were asked, in the order of the rows drawn.

        A question may have no verdict all the same: it failed, or the answer says nothing.

        Raises:
            EndpointError: the server gives no usable answers; what it gave is kept.
        """
        order = drawn(len(rows.tasks), self._options.seed)[: self._options.rows]
        done, waiting = 0, list[list[Pair]]()
        missing: dict[str, Question] = {}
        for row in order:
            pairs = self.pairs_of(row, rows, contestants)
            new = {**missing, **self._missing(pairs)}
            if self._bound_of(new) is not None:
                # What fits is asked; a row that does not ends it.
                yield from self._answered(waiting, missing)
                waiting, new = [], self._missing(pairs)
                missing = {}
                self.why_fewer = self._bound_of(new)
                if self.why_fewer is not None:
                    return
            waiting.append(pairs)
            missing = new
            if len(missing) >= 2 * self._options.parallel:
                yield from self._answered(waiting, missing)
                done += len(waiting)
                self._progress(done, len(order))
                waiting, missing = [], {}
        yield from self._answered(waiting, missing)
        self._progress(len(order), len(order))

    def _missing(self, pairs: Sequence[Pair]) -> dict[str, Question]:
        """By key the questions without a verdict; which order comes first, the seed says."""
        found: dict[str, Question] = {}
        for pair in pairs:
            if pair.keys is None:
                continue
            both = [(pair.keys[0], pair.question), (pair.keys[1], pair.question.swapped())]
            if _bit(f"{self._options.seed} {pair.keys[0]}"):
                both.reverse()
            found |= {k: question for k, question in both if k not in self._journal.verdicts}
        return found

    def _bound_of(self, missing: Mapping[str, Question]) -> str | None:
        """Why so many questions do not fit any more, in words; None where they do."""
        if not missing:
            return None
        options = self._options
        if self._sent + len(missing) > options.max_calls:
            return f"judge.max_calls: {options.max_calls} calls hold no further row"
        if options.max_cost is None:
            return None
        tokens = [self._estimate(question) for question in missing.values()]
        coming = self._prices.of_tokens(sum(t[0] for t in tokens), sum(t[1] for t in tokens))
        if (self.cost or 0.0) + (coming or 0.0) <= options.max_cost:
            return None
        return f"judge.max_cost: {options.max_cost:g} may not hold a further row"

    @property
    def cost(self) -> float | None:
        """Of all answers so far; None without prices."""
        return self._prices.of_tokens(self._journal.input_tokens, self._journal.output_tokens)

    def _answered(
        self, waiting: Sequence[list[Pair]], missing: Mapping[str, Question]
    ) -> Iterator[list[Pair]]:
        self._ask(missing)
        yield from waiting

    def _ask(self, missing: Mapping[str, Question]) -> None:
        """Asks in several threads; every answer is kept by this one, as it comes."""
        if not missing:
            return
        if (why := self._stop()) is not None:
            raise why
        calls: dict[Future[Reply], tuple[str, Question, list[int]]] = {}
        trouble: BaseException | None = None
        with ThreadPoolExecutor(self._options.parallel, "bakeoff-judge") as pool:
            for key, question in missing.items():
                tries: list[int] = []
                calls[pool.submit(self._call, question, tries)] = key, question, tries
            open_ones = set(calls)
            while open_ones:
                ended, open_ones = wait(open_ones, _POLL_SECONDS, FIRST_COMPLETED)
                for future in (one for one in calls if one in ended):
                    trouble = self._keep(future, *calls[future]) or trouble
                trouble = trouble or self._stop()
                if trouble is not None:
                    self._cancelled.set()  # what is under way is paid for, so it is kept
        self._cancelled.clear()
        if trouble is not None:
            raise trouble

    def _call(self, question: Question, tries: list[int]) -> Reply:
        if self._cancelled.is_set():
            raise _BoundReachedError

        def permit() -> None:
            with self._lock:
                if self._sent >= self._options.max_calls:
                    raise _BoundReachedError
                self._sent += 1
            tries.append(1)

        try:
            reply = self._client.ask(messages_of(question, self._options.criteria), permit)
        except EndpointError:
            self._cancelled.set()  # here, before this thread takes the next question
            raise
        except CallFailedError as error:
            with self._lock:
                self._failed_in_a_row += 1
                is_last = self._failed_in_a_row == _MOST_FAILED
            if not is_last or self._cancelled.is_set():
                raise
            self._cancelled.set()
            raise EndpointError(
                f"judge.endpoint: {self._options.endpoint} gave no answer to {_MOST_FAILED} "
                f"questions in a row; the last one: {error}"
            ) from None
        with self._lock:
            self._failed_in_a_row = 0
        return reply

    def _keep(
        self, future: Future[Reply], key: str, question: Question, tries: list[int]
    ) -> BaseException | None:
        """Keeps what came of a call; returns why the judge is to be given up, or None."""
        try:
            reply = future.result()
        except _BoundReachedError:
            if tries:
                self._journal.keep_failure(key, "judge.max_calls is reached", tries=len(tries))
            return None
        except EndpointError as error:
            self._journal.keep_failure(key, str(error), tries=len(tries))
            return error
        except CallFailedError as error:
            self._journal.keep_failure(key, str(error), tries=len(tries))
            return None
        self._journal.keep_reply(
            key, reply, tries=len(tries), estimate=self._guess(question, reply)
        )
        return self._unreadable(reply)

    def _unreadable(self, reply: Reply) -> EndpointError | None:
        """Why a judge is given up whose answers mostly hold no verdict."""
        known, lost = len(self._journal.verdicts), self._journal.unreadable
        if known < _FEWEST_READ or 2 * lost <= known:
            return None
        return EndpointError(
            f"judge.model: {lost} of {known} answers of {self._options.model} hold no verdict, the "
            f"last one: {' '.join(reply.text.split())[:200]!r}. Give a model that ends with [[A]], "
            f"[[B]] or [[TIE]] as it is asked to; remove {self._journal.path} to ask this one again"
        )

    def _key(self, question: Question) -> str:
        options = self._options
        return key_of(question, options.criteria, self._client.body(()), options.endpoint)

    def _estimate(self, question: Question) -> tuple[int, int]:
        """Tokens that a question takes at most, read and written."""
        messages = messages_of(question, self._options.criteria)
        sizes = [len(one["content"].encode("utf-8", "replace")) for one in messages]
        return -(-sum(sizes) // BYTES_OF_TOKEN), self._options.max_tokens

    def _guess(self, question: Question, reply: Reply) -> tuple[int, int]:
        size = len(reply.text.encode("utf-8", "replace"))
        return self._estimate(question)[0], -(-size // BYTES_OF_TOKEN)


def preference(pair: Pair, journal: CallJournal) -> tuple[float, float] | None:
    """By how much each order prefers the run's answer, 0, a half or 1.

    None where one of the two has no verdict.
    """
    if pair.keys is None:
        return 0.5, 0.5
    found = []
    for key, own in zip(pair.keys, (Side.A, Side.B), strict=True):
        verdict = journal.verdicts.get(key)
        if verdict is None or verdict.side is None:
            return None
        found.append(0.5 if verdict.side is Side.TIE else float(verdict.side is own))
    return found[0], found[1]


def drawn(number: int, seed: int) -> list[int]:
    """Rows in an order that follows from the seed alone, whatever generators there are."""

    def place(row: int) -> str:
        return hashlib.sha256(f"judge {seed} {row}".encode()).hexdigest()

    return sorted(range(number), key=place)


def _bit(text: str) -> bool:
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)
