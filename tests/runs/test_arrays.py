"""Arrays in a file."""

from __future__ import annotations

import numpy as np
import pytest

from bakeoff.runs.arrays import arrays_bytes


def test_what_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        arrays_bytes({"scores": np.array([None, 1.0])})
