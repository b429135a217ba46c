"""bakeoff finds the right way to fine-tune a language model.

``import bakeoff`` loads nothing else; each name is imported where it is first asked for.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bakeoff.api import Results, Study, init, load, plan, predict, run
    from bakeoff.audits import audit
    from bakeoff.decide.referee import compare
    from bakeoff.methods.registry import register_method
    from bakeoff.metrics.registry import register_metric
    from bakeoff.tasks.registry import register_task
    from bakeoff.version import __version__

__all__ = [
    "Results",
    "Study",
    "__version__",
    "audit",
    "compare",
    "init",
    "load",
    "plan",
    "predict",
    "register_method",
    "register_metric",
    "register_task",
    "run",
]

# Importing PEFT imports bitsandbytes, which on processors that multiply bfloat16 asks for a package
# of kernels that bakeoff does not use, and says in the middle of a run that it is missing.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_HOME: Final = {
    "Results": "bakeoff.api",
    "Study": "bakeoff.api",
    "__version__": "bakeoff.version",
    "audit": "bakeoff.audits",
    "compare": "bakeoff.decide.referee",
    "init": "bakeoff.api",
    "load": "bakeoff.api",
    "plan": "bakeoff.api",
    "predict": "bakeoff.api",
    "register_method": "bakeoff.methods.registry",
    "register_metric": "bakeoff.metrics.registry",
    "register_task": "bakeoff.tasks.registry",
    "run": "bakeoff.api",
}


def __getattr__(name: str) -> Any:
    """Imports a name from its home and keeps it here."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME[name]), name)
    if name == "compare":
        # It is about to be needed; loaded here, the first call is as quick as any other.
        import_module("scipy.special")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """What the module has, imported or not."""
    return sorted({*globals(), *__all__})
