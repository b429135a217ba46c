"""Arrays in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bakeoff.runs.arrays import arrays_bytes, read_arrays


def test_what_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        arrays_bytes({"scores": np.array([None, 1.0])})


def test_objects_in_a_file_are_not_read(tmp_path: Path) -> None:
    """Reading them would run whatever the file says."""
    np.savez(tmp_path / "a.npz", scores=np.array([None, 1.0]))
    assert read_arrays(tmp_path / "a.npz") is None
    (tmp_path / "b.npz").write_bytes(arrays_bytes({"scores": np.array([2.0, 1.0])}))
    found = read_arrays(tmp_path / "b.npz")
    assert found is not None and found["scores"].tolist() == [2.0, 1.0]
