"""The methods, their registry and the contract that each fulfils."""

from bakeoff.methods.contract import FileFormat, Ground, Method, Stack, Tensors
from bakeoff.methods.registry import METHODS, method_type, stack_type

__all__ = [
    "METHODS",
    "FileFormat",
    "Ground",
    "Method",
    "Stack",
    "Tensors",
    "method_type",
    "stack_type",
]
