"""Rows of one request: handed to the engine's thread, followed from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from bakeoff.engine.serving.limits import QueueFullError, TooManyRowsError
from bakeoff.engine.serving.rows import Ended, Event, Failed, Row, Scored, Wrote
from bakeoff.engine.serving.sampling import Drawn, Sampling
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.faults import ApiError, bad, of_row
from bakeoff.serve.served import Served

Found = TypeVar("Found")


@dataclass
class Answer:
    """One row's answer, whole.

    Attributes:
        text: it. drawn: its tokens. scored: of rows with choices.
        ended: how it ended. failed: why it did not.
    """

    text: str = ""
    drawn: list[Drawn] = field(default_factory=list)
    scored: Scored | None = None
    ended: Ended | None = None
    failed: Failed | None = None


class Flow:
    """The rows of one request, in order.

    Args:
        engine: that serves them.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self.rows: list[Row] = []
        self._num_open = 0
        self._first: tuple[int, Event] | None = None

    def add(
        self,
        model: Served,
        prompt: Sequence[int],
        sampling: Sampling,
        *,
        choices: Sequence[Sequence[int]] = (),
        strips: bool = True,
    ) -> None:
        """One more row; they start together, by ``start``."""
        index = len(self.rows)

        def listen(event: Event) -> None:
            # The loop may be gone when the server stops.
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._events.put_nowait, (index, event))

        self.rows.append(
            Row(
                source=model,
                prompt=prompt,
                sampling=sampling,
                listener=listen,
                choices=choices,
                strips=strips,
            )
        )

    def start(self) -> None:
        """Queues the rows.

        Raises:
            ApiError: 429 where too many wait, 400 where they are too many by themselves, 503 where
                the server stops.
        """
        try:
            self._engine.batcher.submit(self.rows)
        except TooManyRowsError as error:
            raise bad(f"{error}; ask for fewer at once", code="too_many_rows") from None
        except QueueFullError as error:
            if "stopping" in str(error):
                raise ApiError(503, str(error), "stopping") from None
            raise ApiError(429, str(error), "queue_full") from None
        self._num_open = len(self.rows)

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """(row, its next event) until all have ended; who stops listening lets them go."""
        try:
            while self._num_open:
                index, event = self._first or await self._events.get()
                self._first = None
                self._num_open -= isinstance(event, Ended | Failed)
                yield index, event
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Lets go of what has not ended."""
        if self._num_open:
            self._engine.batcher.cancel(self.rows)

    async def gathered(self, request: Request, *, tolerant: bool = False) -> list[Answer]:
        """All answers, whole.

        Args:
            request: whose client is watched. tolerant: whether a row may fail alone.

        Raises:
            ApiError: a row has failed, or the client has gone.
        """
        answers = [Answer() for _ in self.rows]

        async def collect() -> None:
            async for index, event in self.events():
                keep(answers[index], event)
                if isinstance(event, Failed) and not tolerant:
                    raise of_row(event)

        try:
            await self._while_there(collect(), request)
        finally:
            self.cancel()
        return answers

    async def begun(self, request: Request) -> None:
        """Waits for the first event, so that what fails at once is refused and no stream of it.

        Args:
            request: whose client is watched.

        Raises:
            ApiError: the first row has failed, or the client has gone.
        """
        try:
            self._first = await self._while_there(self._events.get(), request)
            if isinstance(self._first[1], Failed):
                raise of_row(self._first[1])
        except BaseException:
            self.cancel()
            raise

    async def _while_there(self, work: Coroutine[Any, Any, Found], request: Request) -> Found:
        """What the work gives, unless the client goes before."""
        task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ApiError(499, "the client has gone", "cancelled")
            return task.result()
        finally:
            task.cancel()
            gone.cancel()


async def _gone(request: Request) -> None:
    """Ends when the client has gone: its body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def keep(answer: Answer, event: Event) -> None:
    """Adds an event of a row to its answer."""
    if isinstance(event, Wrote):
        answer.text += event.text
        if event.drawn is not None:
            answer.drawn.append(event.drawn)
    elif isinstance(event, Scored):
        answer.scored = event
    elif isinstance(event, Ended):
        answer.ended = event
    else:
        answer.failed = event
