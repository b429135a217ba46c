"""An adapter that PEFT wrote, as a method of ours: its configuration says which."""

from __future__ import annotations

from pathlib import Path

from bakeoff.base.model import Base
from bakeoff.errors import ConfigError
from bakeoff.methods.contract import Method
from bakeoff.methods.files import PEFT_CONFIG, PEFT_WEIGHTS
from bakeoff.methods.from_peft import method_of_peft


def peft_method(name: str, folder: Path, base: Base) -> Method:
    """The method that reads an adapter's folder.

    Args:
        name: of the adapter, for errors. folder: in PEFT's format. base: what it is for.

    Raises:
        ConfigError: the folder holds no adapter that this base can take.
    """
    where = f"--adapter {name}"
    for part in (PEFT_CONFIG, PEFT_WEIGHTS):
        path = folder / part
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"{where}: {folder} has no file {part} of its own; give a folder in PEFT's format"
            )
    return method_of_peft(folder, base, where=where)
