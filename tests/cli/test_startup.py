"""What asks nothing of PyTorch does not load it, so that it answers at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff

SOURCE = Path(bakeoff.__file__).parents[1]
HEAVY = ("torch", "transformers", "peft", "optuna", "datasets", "altair", "pyarrow")
# Says on stderr what the entry point has loaded, however it ends.
CALL = """
import sys, json
from bakeoff.cli.main import main
sys.argv = ["bakeoff", *sys.argv[1:]]
try:
    main()
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def called(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )


def loaded(done: subprocess.CompletedProcess[str]) -> set[str]:
    return set(json.loads(done.stderr.splitlines()[-1])) & set(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--help",), 0),
        (("run", "--help"), 0),
        (("version",), 0),
        (("methods",), 0),
        (("claims", "--list"), 0),
        (("claims", "few_token_suffices"), 2),
        (("methods", "lora", "--json"), 0),
        # A whole study is checked before anything heavy is loaded.
        (("run", "--set", "methods.lora.rnk=4"), 2),
        (("plan", "--set", "protocol.epochs=0"), 2),
    ],
)
def test_a_light_command_loads_nothing_heavy(arguments: tuple[str, ...], code: int) -> None:
    done = called(CALL, *arguments)
    assert done.returncode == code, done.stderr
    assert not loaded(done)


def test_the_probe_sees_what_is_loaded(tmp_path: Path) -> None:
    """Stand-ins suffice: the libraries themselves are imported for seconds."""
    for name in HEAVY:
        (tmp_path / f"{name}.py").touch()
    code = f"import sys; sys.path.insert(0, sys.argv.pop(1)); import {', '.join(HEAVY)}\n{CALL}"
    assert loaded(called(code, str(tmp_path), "--version")) == set(HEAVY)


def test_the_package_itself_loads_nothing() -> None:
    code = "import bakeoff, sys; print(*(n for n in sys.modules if n.startswith('bakeoff')))"
    assert called(code).stdout.split() == ["bakeoff"]
