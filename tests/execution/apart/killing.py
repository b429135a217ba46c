"""A worker that is lost in the middle of its job."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from bakeoff.execution.apart.news import News
from bakeoff.execution.apart.remote_worker import RemoteWorker


def kill_one_worker(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kills the first worker that says that an epoch is over; its process id comes to the list."""
    killed: list[int] = []
    hear = RemoteWorker.hear

    def killing(self: RemoteWorker, answer: tuple[int, list[dict[str, Any]]]) -> list[News]:
        news = hear(self, answer)
        if not killed and any(one.kind == "epoch" for one in news):
            killed.append(self.about["pid"])
            os.kill(killed[0], signal.SIGKILL)
        return news

    monkeypatch.setattr(RemoteWorker, "hear", killing)
    return killed
