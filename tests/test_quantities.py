"""Sizes as people write them, and differences as they are read."""

from __future__ import annotations

import pytest

from bakeoff.errors import ConfigError
from bakeoff.quantities import signed, size_of


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


def test_a_difference_as_it_is_read() -> None:
    assert [signed(0.1), signed(-0.25, 2)] == ["+0.100", "\u22120.25"]
