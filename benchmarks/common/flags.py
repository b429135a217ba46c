"""The flags that the benchmarks share, so that one set of them asks all for the same case."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from bakeoff.errors import BakeoffError


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
    parser.add_argument("--micro-batch-size", type=positive, default=16, help="rows of a candidate")
    parser.add_argument("--max-length", type=positive, default=256, help="tokens of a row")
    parser.add_argument(
        "--supervised", type=positive, default=64, help="the last tokens, to be written"
    )
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
    if arguments.supervised >= arguments.max_length:
        parser.error(
            f"--supervised {arguments.supervised} leaves no prompt in --max-length "
            f"{arguments.max_length}; give fewer"
        )
    return arguments


def positive(text: str) -> int:
    """A number of one or more, as an argument's type."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def run_main(main: Callable[[], None]) -> None:
    """Runs a script; what is wrong with its input is one line and exit code 2."""
    try:
        main()
    except BakeoffError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
