"""What bars in a terminal look like."""

from __future__ import annotations

import io

from bakeoff.execution.progress import ProgressView


def drawn(view: ProgressView, file: io.StringIO) -> str:
    """What one refresh writes to the terminal's file.

    Under the lock of the thread that draws every tenth of a second, so that nothing is written by
    both.
    """
    with view._progress.live._lock:
        file.seek(0)
        file.truncate()
        view._progress.refresh()
        return file.getvalue()
