"""Follows a page: its blocks of shell, one after the other, in an empty folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HERE = re.compile(r"<<'(\w+)'")
_PATIENCE = 300
_COMMAND = "bakeoff "


def shell_of(page: Path) -> str:
    """The shell of a page."""
    return "\n".join(_BLOCK.findall(page.read_text(encoding="utf-8")))


def follow(page: Path, folder: Path, call: Callable[[list[str]], None]) -> None:
    """Follows a page.

    Args:
        page: whose blocks begin with ``sh``. folder: the working directory of its shell.
        call: runs a line that begins with ``bakeoff``, given its words. In the test's own process
            it loads PyTorch once for all pages.

    Raises:
        AssertionError: another command fails.
    """
    for piece in _pieces(shell_of(page)):
        if piece.startswith(_COMMAND):
            call(shlex.split(piece, comments=True))
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", piece],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{page.name}: {piece}\n{done.stderr}"


def follow_in_a_shell(page: Path, folder: Path, environment: dict[str, str]) -> str:
    """Follows a page as a reader does, every command a process; what it prints.

    Raises:
        AssertionError: a command fails.
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell_of(page)],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{page.name} cannot be followed:\n{done.stdout}"
    return done.stdout


def _pieces(shell: str) -> Iterator[str]:
    """Lines of shell, a here-document with the line that it belongs to."""
    lines = iter(shell.splitlines())
    for line in lines:
        piece = [line]
        if here := _HERE.search(line):
            for more in lines:
                piece.append(more)
                if more == here[1]:
                    break
        if line.strip():
            yield "\n".join(piece)
