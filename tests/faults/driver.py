"""Starts a part of the campaign with the library that makes writes fail, and reads what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
_SOURCE: Final = Path(__file__).with_name("fail_writes.c")


def compiler() -> str | None:
    """A C compiler of this machine."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def library(place: Path) -> Path:
    """The library, compiled once in a folder.

    Raises:
        RuntimeError: there is no compiler, or it fails.
    """
    made, name = place / "fail_writes.so", compiler()
    if made.exists():
        return made
    if name is None:
        raise RuntimeError("no C compiler is here: install gcc")
    command = [name, "-shared", "-fPIC", "-O1", "-o", str(made), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed: {done.stderr}")
    return made


def cases(place: Path, wanted: Mapping[str, range]) -> Iterator[dict[str, Any]]:
    """Runs cases of some parts and yields what each came to, as soon as it did.

    Args:
        place: a folder for it. wanted: by part, the numbers of the cases.

    Raises:
        RuntimeError: the part's own process failed.
    """
    place.mkdir(parents=True, exist_ok=True)
    given = [f"{part}:{found.start}:{found.stop}:{found.step}" for part, found in wanted.items()]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "LD_PRELOAD": str(library(place)),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.parts", str(place), *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if "PYTEST_VERSION" in os.environ else None,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert process.stdout is not None
    is_over = False
    try:
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        is_over = True
    finally:
        if not is_over:  # no more cases are wanted
            process.kill()
        process.wait()
    if process.returncode != 0:
        said = process.stderr.read()[-2000:] if process.stderr else ""
        raise RuntimeError(f"{given} ended with {process.returncode}: {said}")
