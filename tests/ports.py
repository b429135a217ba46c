"""A port of this machine that is kept for a test."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port() -> Iterator[int]:
    """A free port that no one else is given while this is entered.

    On Linux it is bound and not listened on: it can be taken by its number alone, by what sets
    ``SO_REUSEADDR`` as servers do. Elsewhere that does not let two have one port, and it is free.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port = int(keeper.getsockname()[1])
        if sys.platform != "linux":
            keeper.close()
        yield port
