"""Builds ``guard.cpp`` once and says how a process is started with it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_SOURCE: Final = Path(__file__).with_name("guard.cpp")
_COMPILERS: Final = ("c++", "g++", "clang++")


def compiler() -> str | None:
    """The C++ compiler: ``CXX``, else the first of the usual names that is there; else None."""
    named = os.environ.get("CXX")
    found = (shutil.which(name) for name in (named, *_COMPILERS) if name)
    return next((program for program in found if program), None)


def build() -> Path:
    """The guard as a shared library, compiled where no earlier call has.

    It is kept by PyTorch's version and its source's hash, so that nothing stale is ever loaded.

    Raises:
        RuntimeError: if there is no compiler, or it fails; with the compiler's own words.
    """
    program = compiler()
    if program is None:
        raise RuntimeError("no C++ compiler is here: install g++, or name one by CXX")
    source = _SOURCE.read_bytes()
    key = hashlib.sha256(source + version("torch").encode() + program.encode()).hexdigest()[:16]
    library = _cache() / f"guard-{key}.so"
    if library.exists():
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    torch = _torch_folder()
    include = torch / "include"
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        command = [program, "-O1", "-shared", "-fPIC", "-std=c++20", f"-I{include}"]
        command += [f"-I{include / 'torch' / 'csrc' / 'api' / 'include'}", str(_SOURCE)]
        command += ["-o", str(made), f"-L{torch / 'lib'}", "-lc10", "-ltorch_cpu"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} cannot build {_SOURCE.name}:\n{done.stderr}")
        # In one step: another process may be building the same.
        made.replace(library)
    return library


def environment() -> dict[str, str]:
    """The environment of a process in which fake CUDA tensors have gradients."""
    libraries = [str(_torch_folder() / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return os.environ | {
        "LD_PRELOAD": str(build()),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of this folder."""
    return [sys.executable, "-m", f"tests.fake_cuda.{module}", *arguments]


def _torch_folder() -> Path:
    found = find_spec("torch")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bakeoff-fake-cuda"
