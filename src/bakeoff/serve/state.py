"""A server's life: loading, ready, failed, stopping."""

from __future__ import annotations

import logging
import threading

from bakeoff.errors import BakeoffError
from bakeoff.serve.engine import Engine
from bakeoff.serve.http.faults import ApiError
from bakeoff.serve.metrics import Metrics
from bakeoff.serve.options import ServeOptions
from bakeoff.serve.picking import RowPicker
from bakeoff.serve.votes import Votes

_LOG = logging.getLogger(__name__)


class State:
    """What the routes share.

    Args:
        options: of the server.

    Attributes:
        failure: why it could not load, for who started it; None while there is none.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.metrics = Metrics()
        self.failure: BaseException | None = None
        self.votes = Votes({})
        self.pickers: dict[str, RowPicker] = {}
        self._engine: Engine | None = None
        self._loaded = threading.Event()
        self._thread: threading.Thread | None = None

    def load(self) -> None:
        """Begins to load; requests are answered with 503 until it is done."""
        self._thread = threading.Thread(target=self._load, name="bakeoff-load", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        try:
            engine = Engine(self.options)
            runs = engine.catalogue.runs
            self.votes = Votes({study: run.path for study, run in runs.items()})
            self.pickers = {study: RowPicker(run) for study, run in runs.items()}
            self.metrics.follow(engine)
            self._engine = engine
        except BaseException as error:  # the server tells who started it
            self.failure = error
            if not isinstance(error, BakeoffError):
                _LOG.exception("the server cannot load")
        finally:
            self._loaded.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether loading has ended, well or not."""
        return self._loaded.wait(timeout)

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered."""
        return self._engine is not None and self._engine.batcher.is_alive

    @property
    def engine(self) -> Engine:
        """The engine.

        Raises:
            ApiError: 503 while it loads, or stops.
        """
        if self._engine is None:
            raise ApiError(503, "the models are being loaded; ask again soon", "loading")
        return self._engine

    def close(self) -> None:
        """Waits for running answers and ends the engine."""
        if self._thread is not None:
            self._thread.join()
        if self._engine is not None:
            self._engine.close()
