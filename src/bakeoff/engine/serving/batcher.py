"""The running batch: rows take a seat, are read in pieces, write token by token, and leave.

One thread owns the model. Each of its rounds lets waiting rows in, reads at most so many tokens of
prompts, and then writes one token of every row that writes, whatever their adapters: a long prompt
delays the others by a piece. A row's tokens follow from its own keys, its own adapter and its own
generator, and so from nothing that its neighbours do.

Axis letters: ``R`` rows, ``V`` vocabulary.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from bakeoff.engine.backends.memory import is_out_of_memory, release_memory
from bakeoff.engine.serving.limits import Counts, Limits, QueueFullError, TooManyRowsError
from bakeoff.engine.serving.pool import AdapterPool, AdapterTooLargeError
from bakeoff.engine.serving.residents import Lane, OwnSeats, Piece
from bakeoff.engine.serving.rows import Ended, Event, Failed, Fault, Row, Scored, Wrote
from bakeoff.engine.serving.sampling import NEAR_TIE, Drawn, Sampler
from bakeoff.engine.serving.text import TextStream

_LOG = logging.getLogger(__name__)
_PASS_SECONDS: Final = 30.0
"""That the last pass has when the batch is stopped."""
_PADDED: Final = 2
"""Positions of one pass over prompts, padding counted, by ``Limits.prefill_tokens``."""


class Batcher:
    """Serves rows over shared bases.

    Args:
        lanes: by name; they are this object's from here on.
        limits: see ``Limits``.
    """

    def __init__(self, lanes: Mapping[str, Lane], limits: Limits) -> None:
        self._limits = limits
        self.pool = AdapterPool(lanes, limits.max_adapter_bytes, OwnSeats(limits.own_seats))
        self.counts = Counts()
        self._queue: deque[Row] = deque()
        self._live: list[Row] = []
        self._changed = threading.Condition()
        self._stops = self._drains = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, name="bakeoff-serve", daemon=True)
        self._thread.start()

    def stop(self, *, timeout: float | None = None) -> bool:
        """Lets running rows finish, tells waiting ones that they will not run, and ends.

        Returns:
            Whether the thread has ended, so that what it used may be closed.
        """
        with self._changed:
            self._drains = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)
        with self._changed:
            self._stops = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_PASS_SECONDS)
        return self._thread is None or not self._thread.is_alive()

    @property
    def num_waiting(self) -> int:
        """Rows without a seat."""
        return len(self._queue)

    @property
    def num_running(self) -> int:
        """Rows in a seat."""
        return len(self._live)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs and takes rows."""
        return self._thread is not None and self._thread.is_alive() and not self._drains

    def submit(self, rows: Sequence[Row]) -> None:
        """Queues rows, all of them or none; their listeners hear what comes of it.

        Raises:
            QueueFullError: too many others wait, or the engine is stopping.
            TooManyRowsError: they are too many even if no others wait.
        """
        most, asking = self._limits.max_queue, [row.source for row in rows]
        if self.pool.num_seatless(asking, if_idle=True) > most:
            raise TooManyRowsError(f"{len(rows)} rows are more than all seats and the queue hold")
        with self._changed:
            if self._drains or self._stops:
                raise QueueFullError("the server is stopping")
            sources = [*(row.source for row in self._queue), *asking]
            # Rows sit down at once where there are seats, and a thread that seats them.
            would_wait = self.pool.num_seatless(sources) if self.is_alive else len(sources)
            if would_wait > most:
                raise QueueFullError(f"{would_wait} rows would wait, and at most {most} may")
            self._queue.extend(rows)
            self._changed.notify()

    def cancel(self, rows: Sequence[Row]) -> None:
        """Lets rows go before their next token."""
        for row in rows:
            row.cancelled = True
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        try:
            with torch.no_grad():
                self._rounds()
        finally:
            # However it ends, no request waits for it in vain.
            with self._changed:
                self._stops = True
                rows = [*self._queue, *self._live]
                self._queue.clear()
            for row in rows:
                self._leave(row, Failed(Fault.STOPPING, "the server is stopping"))

    def _rounds(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._live or self._drains or self._stops):
                    self._changed.wait()
                if self._stops or (self._drains and not self._live):
                    return
            try:
                self.round()
            except Exception as error:  # the thread must live on whatever a pass does
                self._fail(list(self._live), error)

    def round(self) -> None:
        """Lets rows in, reads pieces of prompts, writes one token of every row that writes."""
        for row in [row for row in self._live if row.cancelled]:
            self._leave(row, Failed(Fault.CANCELLED, "the client has gone"))
        if not self._drains:
            self._admit()
        for lane in self.pool.lanes:
            rows = [row for row in self._live if row.resident and row.resident.lane is lane]
            if not rows:
                continue
            self._guarded(self._read, [r for r in rows if r.reads_prompt or r.choices])
            self._guarded(
                self._write, [r for r in rows if r.seat >= 0 and r.written and not r.choices]
            )

    # Rows come.

    def _admit(self) -> None:
        with self._changed:
            waiting = list(self._queue)
        now = time.monotonic()
        for row in waiting:
            if row.cancelled:
                self._leave(row, Failed(Fault.CANCELLED, "the client has gone"))
            elif now - row.asked_at > self._limits.queue_seconds:
                self._leave(row, Failed(Fault.TIMEOUT, "no seat became free in time"))
            else:
                try:
                    self._seat(row)
                except Exception as error:
                    self._fail([row], error)

    def _seat(self, row: Row) -> None:
        """Seats a row; it goes on waiting where there is no room, and leaves where it fails."""
        # Before its adapter is loaded, for which others would have to go.
        if not self.pool.has_seat(row.source):
            return
        try:
            resident = self.pool.get(row.source)
        except AdapterTooLargeError as error:
            self._leave(row, Failed(Fault.MEMORY, str(error)))
            return
        except Exception as error:
            if is_out_of_memory(error):
                raise
            name = row.source.name
            _LOG.error("%s cannot be loaded: %s", name, error)
            self._leave(row, Failed(Fault.ADAPTER, f"the adapter of {name!r} cannot be loaded"))
            return
        if resident is None or not resident.lane.free:
            return
        if not row.choices:
            row.sampler = Sampler(row.sampling, row.prompt)
            row.stream = TextStream(
                resident.lane.base.tokenizer, row.sampling.stop, strips=row.strips
            )
        with self._changed:
            # At once, so that it is not counted twice.
            row.resident, row.seat = resident, resident.lane.take(resident)
            resident.num_rows += 1
            # In this order: who asks for the waiting first, and then for the running, finds it.
            self._live.append(row)
            self._queue.remove(row)

    # Rows read.

    def _read(self, rows: Sequence[Row]) -> None:
        """Pieces of prompts, and choices behind prompts that have been read."""
        room = self._limits.prefill_tokens
        pieces: list[Piece] = []
        longest = 0
        for row in rows:
            if room <= 0:
                break
            piece = self._piece(row, room)
            longest = max(longest, len(piece.ids))
            if pieces and (len(pieces) + 1) * longest > _PADDED * self._limits.prefill_tokens:
                break  # short ones beside a long one would be padding above all
            room -= len(piece.ids)
            pieces.append(piece)
        if not pieces:
            return
        found = pieces[0].resident.lane.read(pieces)
        self.counts.passes += 1
        self.counts.read_positions += len(pieces) * longest
        for row, piece, logits_NV in zip(rows[: len(pieces)], pieces, found, strict=True):
            self.counts.prompt_tokens += len(piece.ids)
            if piece.num_wanted and not bool(logits_NV.isfinite().all()):
                self._not_finite(row)
            elif row.reads_prompt:
                row.num_read += len(piece.ids)
                if piece.num_wanted:
                    self._begin(row, logits_NV[0])
            else:
                self._score(row, logits_NV)

    def _piece(self, row: Row, room: int) -> Piece:
        assert row.resident is not None
        start = row.resident.num_before + row.num_read
        if row.reads_prompt:
            ids = row.prompt[row.num_read : row.num_read + room]
            is_last = row.num_read + len(ids) == len(row.prompt)
            return Piece(
                resident=row.resident, seat=row.seat, start=start, ids=ids, num_wanted=int(is_last)
            )
        start += row.place_read
        ids = row.choices[row.place][:-1][row.place_read : row.place_read + room]
        return Piece(
            resident=row.resident, seat=row.seat, start=start, ids=ids, num_wanted=len(ids)
        )

    def _begin(self, row: Row, logits_V: Tensor) -> None:
        """The prompt has been read: the first token, or the first of every choice."""
        row.first_at = row.end
        if row.choices:
            nats_V = -logits_V.log_softmax(dim=-1)
            firsts = nats_V[[ids[0] for ids in row.choices]].tolist()
            row.nats = [[first] for first in firsts]
            self._next_choice(row)
        elif not row.sampling.max_tokens:
            self._ended(row, "length")
        else:
            self._choose(row, logits_V)

    def _score(self, row: Row, logits_NV: Tensor) -> None:
        choice, end = row.choices[row.place], row.place_read + len(logits_NV)
        targets_N = torch.tensor(choice[row.place_read + 1 : end + 1], device=logits_NV.device)
        nats_N1 = -logits_NV.log_softmax(dim=-1).gather(1, targets_N[:, None])
        row.nats[row.place] += nats_N1[:, 0].tolist()
        row.place_read = end
        if end == len(choice) - 1:
            row.place, row.place_read = row.place + 1, 0
            self._next_choice(row)

    def _next_choice(self, row: Row) -> None:
        while row.place < len(row.choices) and len(row.choices[row.place]) == 1:
            row.place += 1
        if row.place == len(row.choices):
            by_token = tuple(tuple(nats) for nats in row.nats)
            self._tell(row, Scored(tuple(sum(nats) for nats in by_token), by_token))
            self._leave(row, Ended("stop", 0, row.first_at, row.end))

    # Rows write.

    def _write(self, rows: Sequence[Row]) -> None:
        pieces = []
        for row in rows:
            assert row.resident is not None
            start = row.resident.num_before + len(row.prompt) + len(row.written) - 1
            pieces.append(
                Piece(resident=row.resident, seat=row.seat, start=start, ids=row.written[-1:])
            )
        if not pieces:
            return
        found = pieces[0].resident.lane.read(pieces)
        self.counts.passes += 1
        logits_RV = torch.cat(found)
        is_finite = logits_RV.sum(dim=-1).isfinite().tolist()
        best = logits_RV.topk(min(2, logits_RV.shape[-1]), dim=-1).values
        gaps = (best[:, 0] - best[:, -1]).tolist()
        greedy = logits_RV.argmax(dim=-1).tolist()
        for place, row in enumerate(rows):
            assert row.sampler is not None
            if not is_finite[place]:
                self._not_finite(row)
            elif row.sampler.is_plain:
                drawn = Drawn(greedy[place], is_near_tie=gaps[place] < NEAR_TIE)
                self._choose(row, logits_RV[place], drawn)
            else:
                self._choose(row, logits_RV[place])

    def _choose(self, row: Row, logits_V: Tensor, drawn: Drawn | None = None) -> None:
        """By a row's own rules. Where they leave nothing to draw from, this row fails alone."""
        assert row.sampler is not None
        try:
            self._take(row, row.sampler.choose(logits_V) if drawn is None else drawn)
        except Exception as error:
            self._fail([row], error)

    def _take(self, row: Row, drawn: Drawn) -> None:
        """A token of a row: it is told, and the row goes on or leaves."""
        assert row.sampler is not None and row.stream is not None
        self.counts.near_ties += drawn.is_near_tie
        if drawn.id in row.sampling.stop_ids:
            self._ended(row, "stop")
            return
        row.written.append(drawn.id)
        row.sampler.take(drawn.id)
        self.counts.written_tokens += 1
        text = row.stream.add(drawn.id)
        self._tell(row, Wrote(text, drawn))
        if row.stream.is_stopped:
            self._ended(row, "stop")
        elif len(row.written) >= row.sampling.max_tokens:
            self._ended(row, "length")

    def _ended(self, row: Row, reason: str) -> None:
        assert row.stream is not None
        rest = row.stream.end()
        if rest:
            self._tell(row, Wrote(rest, None))
        # A stop text may have been waiting for nothing but the end.
        reason = "stop" if row.stream.is_stopped else reason
        self._leave(row, Ended(reason, len(row.written), row.first_at, row.end))

    # Rows leave.

    def _not_finite(self, row: Row) -> None:
        name = row.source.name
        self._leave(row, Failed(Fault.NOT_FINITE, f"{name!r} computes no finite numbers"))
        self.pool.drop(name)

    def _leave(self, row: Row, event: Event) -> None:
        """A row goes, from its seat or from the queue, and hears why."""
        row.is_settled = True
        if isinstance(event, Failed):
            # Before it leaves, so that no reader finds the seat free and the row not counted.
            self.counts.faults[event.fault] = self.counts.faults.get(event.fault, 0) + 1
        with self._changed:
            if row in self._queue:
                self._queue.remove(row)
        self._live = [other for other in self._live if other is not row]
        seat, row.seat = row.seat, -1
        if seat >= 0 and row.resident is not None:
            row.resident.num_rows -= 1
            try:
                # A row that failed, or was cancelled unseen, may have written what is no number.
                row.resident.lane.leave(seat, clear=isinstance(event, Failed))
            except Exception:  # the row gets its event all the same
                _LOG.exception("a seat cannot be cleared, so no row gets it")
        self._tell(row, event)

    def _tell(self, row: Row, event: Event) -> None:
        try:
            row.listener(event)
        except Exception:  # a listener that has gone must not stop the others
            _LOG.debug("a listener has gone", exc_info=True)

    def _guarded(self, step: Callable[[Sequence[Row]], None], rows: Sequence[Row]) -> None:
        """A pass; where it fails, its rows do, and no others."""
        try:
            if rows:
                step(rows)
        except Exception as error:
            self._fail(rows, error)

    def _fail(self, rows: Sequence[Row], error: Exception) -> None:
        if is_out_of_memory(error):
            release_memory()
            failed = Failed(Fault.MEMORY, "no memory is left for this request")
        else:
            _LOG.error("a pass failed", exc_info=error)
            failed = Failed(Fault.INTERNAL, "the engine failed on this request")
        for row in rows:
            if not row.is_settled:
                self._leave(row, failed)
