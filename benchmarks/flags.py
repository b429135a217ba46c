"""The flags that the benchmarks share, so that one set of them asks all for the same case."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def common_flags(
    doc: str | None, *, methods: Sequence[str], method: str
) -> argparse.ArgumentParser:
    """A parser with the flags that every benchmark takes, ``--slots`` aside.

    Args:
        doc: the script's docstring. methods: what may be asked for. method: the default.
    """
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--base", default="scratch:gpt-neo-125m")
    parser.add_argument("--method", nargs="+", choices=methods, default=[method])
    parser.add_argument("--micro-batch-size", type=int, default=16, help="rows of a candidate")
    parser.add_argument("--max-length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--supervised", type=int, default=64, help="the last tokens, to be written")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--precision", default="auto", help="auto, float32, bfloat16 or float16")
    parser.add_argument("--quick", action="store_true", help="the tiny base, small and short")
    return parser


def parsed(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, **quick: Any
) -> argparse.Namespace:
    """The arguments; ``--quick`` gives other defaults, and what is given holds all the same."""
    arguments = parser.parse_args(argv)
    if arguments.quick:
        parser.set_defaults(**quick)
        arguments = parser.parse_args(argv)
    return arguments
