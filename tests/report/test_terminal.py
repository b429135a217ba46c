"""The table at the end of a run and the list of methods, at the width of a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bakeoff.cli.catalogue import describe_methods, print_methods
from bakeoff.decide.limits import Limits
from bakeoff.errors import StoreError
from bakeoff.report.terminal import print_summary
from bakeoff.runs.folder import RunFolder

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
LONG = "lora_on_all_linear_layers_with_rank_32_and_a_long_name_of_64_cha"


def method(**changes: Any) -> dict[str, Any]:
    return {
        "test_nll": 12.3456,
        "trainable_parameters": 125_198_592,
        "epoch_seconds": {"mean": 1234.5},
        "peak_memory_bytes": 9_810 << 20,
        "adapter_bytes": 500_794_368,
        **{key: {"mean": 0.3456} for key in ROUGE},
        **changes,
    }


def summary(tmp_path: Path, methods: dict[str, Any], width: int) -> list[str]:
    folder = RunFolder(tmp_path / "run", {})
    folder.write_json(
        "results.json",
        {
            "baselines": {
                "zero_shot": {"test_nll": 2.5, **dict.fromkeys(ROUGE, 0.25)},
                "lead": {"k": 3, **dict.fromkeys(ROUGE, 1.0)},
            },
            "methods": methods,
            "recommendation": {"why": "full has the lowest test NLL."},
        },
    )
    file = io.StringIO()
    print_summary(folder, Console(file=file, width=width))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_at_the_width_of_a_terminal(tmp_path: Path, width: int) -> None:
    lines = summary(tmp_path, {"full": method(), LONG: method(test_nll=None)}, width)
    text = "\n".join(lines)
    assert "…" not in text
    assert max(map(len, lines)) <= width
    heads = ["method", "test", "NLL", "R-1", "R-2", "R-L", "params", "epoch", "memory", "adapter"]
    assert lines[1].split() == heads
    row = next(line for line in lines if line.startswith("full "))
    assert " ".join(row.split()) == "full 12.3456 34.6 34.6 34.6 125 M 1234.5 s 9.58 GiB 478 MiB"
    assert next(line for line in lines if line.startswith("zero-shot")).split()[1] == "2.5000"
    assert next(line for line in lines if line.startswith("lead-3")).split()[1:3] == ["–", "100.0"]
    # A long name takes more lines, in order and whole.
    start = next(i for i, line in enumerate(lines) if line.startswith("lora"))
    name = "".join(line.split()[0] for line in lines[start:] if line.startswith(tuple(LONG)))
    assert LONG in name
    assert lines[-1] == "full has the lowest test NLL."


def test_limits_are_kept_to(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", {})
    content = {"baselines": {}, "methods": {"full": method()}, "recommendation": {"why": "x"}}
    folder.write_json("results.json", content)
    file = io.StringIO()
    print_summary(folder, Console(file=file, width=200), Limits(memory=1e9))
    assert "full misses fewest: peak memory 9.58 GiB, over 954 MiB." in file.getvalue()


def test_what_is_not_known_is_a_dash(tmp_path: Path) -> None:
    keys = ("test_nll", "epoch_seconds", "peak_memory_bytes", "adapter_bytes", *ROUGE)
    lines = summary(tmp_path, {"wild": method(**dict.fromkeys(keys))}, 80)
    row = next(line for line in lines if line.startswith("wild"))
    assert row.split() == ["wild", *["–"] * 4, "125", "M", *["–"] * 3]


@pytest.mark.parametrize(
    ("parameters", "shown"),
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
def test_counts_have_three_digits_and_a_unit(tmp_path: Path, parameters: int, shown: str) -> None:
    lines = summary(tmp_path, {"one": method(trainable_parameters=parameters)}, 80)
    row = next(line for line in lines if line.startswith("one"))
    assert f"34.6  {shown:>6}" in row


def test_results_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", {})
    with pytest.raises(StoreError, match="missing or torn; run the study again"):
        print_summary(folder, Console(file=io.StringIO()))


def test_every_method_is_listed_with_its_options() -> None:
    file = io.StringIO()
    print_methods(Console(file=file, width=80))
    text = file.getvalue()
    flowing = " ".join(text.split())
    for described in describe_methods():
        assert f"{described['kind']}: {described['title']}" in flowing
        for option in described["options"]:
            assert f"\n  {option}: " in text
    assert "\n  alpha: null  (float | None)" in text
    assert "\n  tied: false  (bool)" in text
    # What does not fit goes on below, indented.
    starts = tuple(f"{described['kind']}: " for described in describe_methods())
    assert all(line.startswith(("  ", *starts)) for line in text.splitlines())
