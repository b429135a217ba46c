"""bakeoff finds the right way to fine-tune a language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bakeoff.audits import audit
    from bakeoff.decide.referee import compare

__version__ = "0.2.0.dev0"
__all__ = ["__version__", "audit", "compare"]


def __getattr__(name: str) -> Any:
    """Hands functions on where they are first asked for, so that ``import bakeoff`` stays quick."""
    if name == "audit":
        from bakeoff.audits import audit

        return audit
    if name == "compare":
        from importlib import import_module

        from bakeoff.decide.referee import compare

        # It is about to be needed; loaded here, the first call is as quick as any other.
        import_module("scipy.special")
        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
