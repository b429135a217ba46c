"""Sizes and durations as people write and read them."""

from __future__ import annotations

import pytest

from bakeoff.errors import ConfigError
from bakeoff.study.quantities import signed, size_of, written_seconds, written_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 * 1024**3),
        ("10MB", 10_000_000),
        ("1.5 kib", 1536),
        ("2tb", 2_000_000_000_000),
        ("512B", 512),
    ],
)
def test_a_size(text: str, size: float) -> None:
    assert size_of(text, "--x") == size


@pytest.mark.parametrize("text", ["8", "GiB", "-1MB", "8 Gi", "1e3MB", "8GiB!", "inf B", "1,5GB"])
def test_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--x .* is no size"):
        size_of(text, "--x")


def test_figures_as_they_are_read() -> None:
    assert [written_size(n) for n in (0, 1023, 1536, 200 * 1024, 8.5 * 1024**3)] == [
        "0 B", "1023 B", "1.5 KiB", "200 KiB", "8.5 GiB",
    ]  # fmt: skip
    assert [written_seconds(n) for n in (0.0123, 0.5, 12.34, 100, 600, 9000)] == [
        "12.3 ms", "0.50 s", "12.3 s", "100 s", "10.0 min", "2.5 h",
    ]  # fmt: skip
    assert [signed(0.1), signed(-0.25, 2)] == ["+0.100", "\u22120.25"]
