"""Signals and the time budget: a run that is asked to stop finishes its step and saves first."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

from bakeoff.ranks import largest, ranks
from bakeoff.signals import may_raise

EXIT_HUNG_UP: Final = 129
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143
EXIT_BUDGET: Final = 0
# None where the system has none.
_SIGHUP: Final[int | None] = getattr(signal, "SIGHUP", None)
_SIGALRM: Final[int | None] = getattr(signal, "SIGALRM", None)
_MOMENT: Final = 0.001
"""Seconds after which a signal is looked at again."""
_PRINTED: Final = 1.0
"""Seconds in which Python has printed what a hook raised; what is raised meanwhile is lost."""


class Stopped(KeyboardInterrupt):
    """The run was asked to stop.

    Attributes:
        exit_code: of the process. why: in words, for the terminal.
    """

    def __init__(self, exit_code: int, why: str) -> None:
        super().__init__(why)
        self.exit_code = exit_code
        self.why = why


class BudgetSpent(Stopped):
    """The run came to the end of its time budget, which is no fault: it ends as it was asked to."""

    def __init__(self, why: str = "The time budget is spent.") -> None:
        super().__init__(EXIT_BUDGET, why)


class TrainingTimeSpent(BudgetSpent):
    """Training came to the end of its share; what is trained is still tested."""

    def __init__(self) -> None:
        super().__init__("The time budget ended the training early.")


class PartDone(Stopped):
    """A part of a study is done as it was asked to, and others have the rest.

    Attributes:
        advice: what to do next.
    """

    def __init__(self, why: str, advice: str) -> None:
        super().__init__(EXIT_BUDGET, why)
        self.advice = advice


def reserve_of(budget: float) -> float:
    """Seconds of a budget that are kept for the report."""
    return min(300.0, 0.5 * budget, max(20.0, 0.1 * budget))


class StopSignals:
    """While it is entered, SIGINT, SIGTERM, SIGHUP and the end of the budget stop the run in good
    order.

    Outside of ``deferred`` they raise ``Stopped`` at once, or as soon as ``logging`` has released
    its lock (see ``may_raise``), and once more where Python had to ignore it (in a finalizer);
    inside they are kept until ``requested`` is read. A second SIGINT or SIGTERM raises at once
    wherever it comes, but in the hook that reports what Python ignored: after that, and a third
    ends it. A terminal that closes sends SIGHUP more than once, so that after the first it counts
    for nothing, also once this is left: the report is still to be written. Where SIGHUP
    is ignored, as under ``nohup``, it stays so.

    Args:
        budget: seconds until the report must begin, counted from ``started``; None has no end.
        started: on the clock of ``time.monotonic``; now without.
        shortens: whether a budget may end candidates before their last update, so that what is
            trained is tested; else training stops between two steps as for a signal, and goes on
            there.
    """

    def __init__(
        self,
        budget: float | None = None,
        started: float | None = None,
        *,
        shortens: bool = True,
    ) -> None:
        self.requested: Stopped | None = None
        self.shortens = shortens
        self.deadline: float | None = None
        self._kept = 0.0
        if budget is not None:
            begun = time.monotonic() if started is None else started
            self.deadline = begun + budget - reserve_of(budget)
        self._is_deferred = False
        self._waits = False  # what is requested is still to be raised
        self._again: Stopped | None = None  # a second signal that is still to be raised
        self._handlers: dict[int, Any] = {}
        self._hook: Callable[[sys.UnraisableHookArgs], object] | None = None

    def __enter__(self) -> Self:
        try:
            self._take()
        except BaseException:  # of a budget that is spent already
            self._give_back()
            raise
        return self

    def _take(self) -> None:
        # Only the main thread may handle signals; elsewhere the deadline is still looked at.
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM"):
                number = getattr(signal, name, None)
                if number is None or (number == _SIGHUP and _is_ignored(number)):
                    continue
                self._handlers[number] = signal.getsignal(number)
                signal.signal(number, self._on_signal)
            self._hook, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
            if self.deadline is not None and hasattr(signal, "setitimer"):
                rest = max(0.001, self.deadline - time.monotonic())
                signal.setitimer(signal.ITIMER_REAL, rest)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asked = self.requested
        self._give_back()
        if kind is None and (self._waits or self.requested is not asked):
            raise self._stop()

    def _give_back(self) -> None:
        """Signals are handled as before, and what Python ignores is reported as before."""
        before = self._waits, self._is_deferred, self._again
        # A first signal, and a second that waits, raise once this is through.
        self._is_deferred, self._again = True, None
        if self._handlers and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        if self._hook is not None:
            sys.unraisablehook, self._hook = self._hook, None
        is_hung_up = self.requested is not None and self.requested.exit_code == EXIT_HUNG_UP
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_IGN if number == _SIGHUP and is_hung_up else handler)
        self._handlers = {}
        self._waits, self._is_deferred = before[:2]
        self._again = self._again or before[2]

    @property
    def seconds_left(self) -> float | None:
        """Until the report must begin; None where there is no budget."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def keep(self, seconds: float) -> None:
        """Keeps so much of the budget for what comes after training."""
        self._kept = seconds

    @property
    def training_seconds_left(self) -> float | None:
        """Until training must end; None where there is no budget."""
        return None if self.deadline is None else self.deadline - self._kept - time.monotonic()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a signal is only kept; the code inside asks for it between two steps."""
        before, self._is_deferred = self._is_deferred, True
        # Who asks inside is given it, and else it is raised at the end; a second one still raises.
        self._waits = self._again is not None
        try:
            yield
        finally:
            self._is_deferred = before
        if self.requested is not None and not before:
            raise self._stop()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside ``deferred``, a part in which a signal raises at once; one that waits, too."""
        before, self._is_deferred = self._is_deferred, False
        try:
            if self.requested is not None:
                raise self._stop()
            yield
        finally:
            self._is_deferred = before

    def ask(self, step_seconds: float = 0.0) -> Stopped | None:
        """Why to stop now, or None.

        Args:
            step_seconds: how long the next step may take; the budget must still hold it.
        """
        late = self.deadline is not None and time.monotonic() + step_seconds >= self.deadline
        if late and self.requested is None:
            self.requested = BudgetSpent()
        return self.requested

    def ask_in_training(self, step_seconds: float = 0.0) -> Stopped | None:
        """Why to stop training now, or None; see ``ask``."""
        self._agree()
        left = self.training_seconds_left
        if left is not None and left <= step_seconds and self.ask(step_seconds) is None:
            return TrainingTimeSpent()
        return self.ask(step_seconds)

    def _agree(self) -> None:
        """What one process of a run was asked to do, all of them do, after the same step."""
        if ranks().count == 1:
            return
        own = 0 if self.requested is None else self.requested.exit_code
        (code,) = largest([own])
        if code and self.requested is None:
            self.requested = Stopped(code, "Another process of this run was asked to stop.")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._waits and number == _SIGALRM:
            self._raise_or_wait(frame)
            return
        again = self.requested is not None
        if again and number not in (signal.SIGINT, signal.SIGTERM):
            return  # neither may cut short what another reason to stop has begun
        if number == signal.SIGINT:
            stop = Stopped(EXIT_INTERRUPTED, "Interrupted.")
        elif number == signal.SIGTERM:
            stop = Stopped(EXIT_TERMINATED, "Terminated.")
        elif number == _SIGHUP:
            stop = Stopped(EXIT_HUNG_UP, "The terminal was closed.")
        else:
            stop = BudgetSpent()
        self.requested = self.requested or stop
        if again and not _is_in_hook(frame):
            self._waits, self._again = False, None
            raise stop
        is_third = again and self._again is not None
        if again:
            self._again = stop
        self._waits = True
        self._raise_or_wait(frame)
        if is_third:
            # It ends what hangs in the hook, and is raised again once Python has printed that.
            if _SIGALRM is not None:
                signal.setitimer(signal.ITIMER_REAL, _PRINTED)
            raise stop

    def _raise_or_wait(self, frame: FrameType | None) -> None:
        """Raises what is requested, unless it is deferred; in a moment, where it may not be now."""
        if self._is_deferred and self._again is None:
            self._waits = False  # the code inside asks for it
        elif not _is_in_hook(frame) and (_SIGALRM is None or may_raise(frame)):
            raise self._stop()
        elif _SIGALRM is not None:
            signal.setitimer(signal.ITIMER_REAL, _MOMENT)

    def _on_unraisable(self, ignored: sys.UnraisableHookArgs) -> None:
        """Asks again for a signal that came within a finalizer: nothing is raised out of one."""
        if isinstance(ignored.exc_value, Stopped):
            if ignored.exc_value is not self.requested:
                self._again = ignored.exc_value
            self._waits = True
            if _SIGALRM is not None:
                signal.setitimer(signal.ITIMER_REAL, _MOMENT)
        elif self._hook is not None:
            self._hook(ignored)

    def _stop(self) -> Stopped:
        """What is requested, which is raised by that."""
        found, self._again = self._again or self.requested, None
        assert found is not None
        self._waits = False
        return found


def _is_in_hook(frame: FrameType | None) -> bool:
    """Whether a signal came while what Python ignores is reported: what is raised there is printed
    and gone, and no hook hears of it."""
    while frame is not None:
        if frame.f_code is StopSignals._on_unraisable.__code__:
            return True
        frame = frame.f_back
    return False


def _is_ignored(number: int) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN
