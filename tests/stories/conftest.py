"""bakeoff as others have it: a wheel, installed into an empty place, and its command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
_PATIENCE = 300
_DONE = "installed"


@dataclass(frozen=True)
class Installed:
    """An installed wheel.

    Attributes:
        site: where it is. folder: the working directory of its commands.
        environment: variables besides those of this process.
    """

    site: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands: no path leads to the sources."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.site),
            "PATH": f"{self.site / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "BAKEOFF_CACHE": str(self.folder / ".cache"),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "120",
            **self.environment,
        }

    def __call__(self, *arguments: object, code: int = 0) -> str:
        """What ``bakeoff`` prints on the standard output.

        Raises:
            AssertionError: it ends with another code.
        """
        return self.command("bakeoff", *arguments, code=code)

    def command(self, *words: object, code: int = 0) -> str:
        """The same of another command."""
        done = subprocess.run(
            [str(word) for word in words],
            cwd=self.folder,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def python(self, program: str) -> str:
        """What a program of Python prints."""
        return self.command(sys.executable, "-c", program)


@pytest.fixture(scope="session")
def wheel_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and installed once for all tests, without a network."""
    pytest.importorskip("hatchling", reason="pip install hatchling builds the wheel")
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    site = shared / "wheel-site"
    with FileLock(str(shared / "wheel-site.lock")):
        if not (site / _DONE).exists():
            command = [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
                *("--no-build-isolation", "--disable-pip-version-check"),
                *("--target", str(site), str(ROOT)),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            (site / _DONE).touch()
    return site


@pytest.fixture
def bakeoff(wheel_site: Path, tmp_path: Path) -> Installed:
    """The command ``bakeoff`` in an empty folder."""
    return Installed(wheel_site, tmp_path)


REVIEWS = (
    *(("The soup was hot.", "good"), ("The fish was cold.", "bad"), ("Kind people.", "good")),
    *(("The bill was wrong.", "bad"), ("Best noodles in town.", "good"), ("Dirty forks.", "bad")),
    *(("A lovely evening.", "good"), ("They lost our booking.", "bad"), ("A fair price.", "good")),
    *(("Far too loud.", "bad"), ("Fresh bread.", "good"), ("Stale cake.", "bad")),
    *(("We came again.", "good"), ("Nobody cleaned up.", "bad"), ("What a view.", "good")),
    ("A long wait.", "bad"),
)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A CSV file of texts with labels."""
    file = tmp_path / "reviews.csv"
    lines = ["review,verdict", *(f"{text},{label}" for text, label in REVIEWS)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
