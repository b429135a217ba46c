"""Which adapters leave memory for another."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bakeoff.engine.serving.pool import AdapterPool


def test_none_leaves_for_one_that_would_not_fit_even_so() -> None:
    own: Any = None
    pool = AdapterPool({}, 100, own)
    held = {
        "busy": SimpleNamespace(num_bytes=60, num_rows=1, used=1, owns_lane=False),
        "idle": SimpleNamespace(num_bytes=20, num_rows=0, used=2, owns_lane=False),
    }
    given: Any = pool
    given._residents = held
    asked: Any = SimpleNamespace(name="large", least_bytes=50, has_own_base=False, lane="base")
    assert pool.get(asked) is None
    assert pool.names == ["busy", "idle"] and pool.num_evicted == 0
    held["busy"].num_rows = 0
    assert pool._make_room(50)
    assert pool.names == ["idle"] and pool.num_evicted == 1
