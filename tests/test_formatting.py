"""Figures as people read them, and sizes and durations as people write them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bakeoff.errors import ConfigError
from bakeoff.formatting import (
    TIMES_100,
    Scale,
    join,
    scale_of,
    seconds_of,
    shown_bytes,
    shown_count,
    shown_p_value,
    shown_rate,
    shown_seconds,
    shown_whole,
    signed,
    size_of,
)


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
    with pytest.raises(ConfigError, match=r"--x .* is not a size"):
        size_of(text, "--x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200.0),
        ("90m", 5400.0),
        ("1h30m", 5400.0),
        ("45s", 45.0),
        ("20ms", 0.02),
        ("1d2h3m4s", 93784.0),
        ("0.5h", 1800.0),
        (" 2H ", 7200.0),
        ("9hours", 32400.0),
        ("1hour30mins", 5400.0),
        ("1.5h", 5400.0),
        ("2h30m", 9000.0),
        ("1d", 86400.0),
        ("10minutes5sec", 605.0),
        ("PT9H", 32400.0),
        ("P1DT2H30M0.5S", 95400.5),
        ("P2D", 172800.0),
        ("pt90m", 5400.0),
    ],
)
def test_a_duration_is_days_hours_minutes_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


# A unit twice, a smaller unit first, and what ISO 8601 has that is of no one length.
ODD = ("1h1h", "5m2h", "P", "PT", "P1DT", "P1M", "P1Y", "P1W", "PT1H30", "9 hours", "1hm", "T1H")


@pytest.mark.parametrize("text", ["", "90", "2 h", "h", "-2h", "1.h", "2h30", "1e3s", "2w", *ODD])
def test_what_is_no_duration_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--budget .* is not a duration") as caught:
        seconds_of(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0s", "0h0m"])
def test_no_time_at_all_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be above zero"):
        seconds_of(text)


def test_bytes_counts_and_seconds_have_three_digits_and_a_unit() -> None:
    assert [shown_bytes(n) for n in (None, 512, 19_600, 5 << 30)] == [
        "–",
        "512 B",
        "19.1 KiB",
        "5.00 GiB",
    ]
    seconds = (None, 0.0, 2e-6, 0.0019, 12.0, 150.0, 7200.0, 3 * 86400.0)
    assert [shown_seconds(s) for s in seconds] == [
        "–",
        "0 s",
        "2.0 µs",
        "1.9 ms",
        "12.0 s",
        "2.5 min",
        "2.0 h",
        "3.0 d",
    ]


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (512, "512"),
        (999, "999"),
        (9_216, "9.22 k"),
        (294_912, "295 k"),
        (999_999, "1.00 M"),
        (1_100_000, "1.10 M"),
        (38_597_376, "38.6 M"),
        (7_000_000_000, "7.00 G"),
    ],
)
def test_a_count_that_grows_keeps_three_digits(count: int, shown: str) -> None:
    assert shown_count(count) == shown


def test_whole_numbers_rates_and_p_values() -> None:
    assert [shown_whole(n) for n in (None, 7, 1_119_488)] == ["–", "7", "1,119,488"]
    assert [shown_rate(r) for r in (None, 5e-3, 0.01778, 1.0)] == ["–", "5e-3", "1.778e-2", "1e0"]
    assert [shown_p_value(p) for p in (None, 0.0004, 0.03)] == ["–", "< 0.001", "= 0.030"]


def test_a_difference_as_it_is_read() -> None:
    assert [signed(0.1), signed(-0.25, 2)] == ["+0.100", "\u22120.25"]


def test_what_rounds_to_zero_has_no_minus() -> None:
    assert [signed(-0.0), signed(-1e-5), signed(1e-5)] == ["+0.000"] * 3
    assert [Scale().write(-1e-5), Scale().write(-0.0), Scale().signed(-4e-4)] == [
        *("0.000", "0.000", "+0.000"),
    ]
    assert scale_of(TIMES_100).signed(np.float64(-4e-4)) == "+0.0"
    assert signed(-6e-4) == "\u22120.001"


def test_shares_are_written_as_points_and_all_else_as_it_is() -> None:
    points, nats = scale_of("× 100"), scale_of("nats per token")
    assert [points.write(0.3456), points.signed(-0.012), points.write(None)] == [
        "34.6",
        "\u22121.2",
        "–",
    ]
    assert [nats.write(1.23456), nats.signed(0.5), nats.write(math.inf)] == [
        "1.235",
        "+0.500",
        "inf",
    ]


def test_names_are_joined_as_a_sentence_does() -> None:
    assert [join([]), join(["a"]), join(["a", "b"]), join(["a", "b", "c"], "or")] == [
        "",
        "a",
        "a and b",
        "a, b or c",
    ]
