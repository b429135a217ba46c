"""`bakeoff report`, as the shell calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bakeoff.cli.main import app

Writer = Callable[..., dict[str, Any]]


def test_limits_are_answered_at_once_and_stand_in_the_report(
    run_writer: Writer, tmp_path: Path
) -> None:
    run_writer(tmp_path, num_methods=4, epochs=2)
    limits = ["--max-memory", "7.2GiB", "--max-time", "1h", "--max-adapter-size", "10MB"]
    done = CliRunner().invoke(app, ["report", str(tmp_path), *limits])
    assert done.exit_code == 0, done.output
    why, place = done.output.splitlines()
    assert why.startswith("soft_prompt is the only method within the limits: 2.741 nats a token")
    assert place == f"{tmp_path}/report.html"
    page = Path(place).read_text("utf-8")
    assert (
        "Limits: peak memory at most 7.20 GiB; training time at most 60.0 min; adapter size at "
        "most 9.54 MiB." in page
    )
    assert "lora: peak memory 7.46 GiB, over 7.20 GiB" in page
