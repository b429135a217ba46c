"""`bakeoff report`, as the shell calls it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from bakeoff.cli.main import app
from tests.golden_folders import copy_of


def test_limits_are_answered_at_once_and_stand_in_the_report(tmp_path: Path) -> None:
    copy_of("four", tmp_path)
    limits = ["--max-memory", "1GiB", "--max-time", "1d", "--max-adapter-size", "300kB"]
    done = CliRunner().invoke(app, ["report", str(tmp_path), *limits])
    assert done.exit_code == 0, done.output
    why, place = done.output.splitlines()
    assert why.startswith(
        "The best baseline, zero-shot, reaches a test NLL of 5.554 nats per token"
    )
    assert "lora_small is the only method within the limits; it is shown better than" in why
    assert place == f"{tmp_path}/report.html"
    page = Path(place).read_text("utf-8")
    assert (
        "Limits: peak memory at most 1.00 GiB; training time at most 24.0 h; adapter size at "
        "most 293 KiB." in page
    )
    assert "full: adapter size 4.40 MiB, over 293 KiB" in page
