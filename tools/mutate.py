"""Changes one place of the code at a time and looks whether a test notices.

``python tools/mutate.py decide metrics runs --count 60 --seed 1`` draws places at random, changes
each in a copy of ``src``, and runs the tests that import the changed module, or its room's where
none does. What it found is kept in ``build/mutants.jsonl``, so that a later call goes on; the
survivors are printed with their line.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / "build" / "mutants.jsonl"
_SWAPPED: Final[dict[type[ast.AST], type[ast.AST]]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
}
Change = Callable[[], None]


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, Change]]:
    """Each place of a module that can be changed, with what changes it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
            yield node, _setter(node.ops, 0, _SWAPPED[type(node.ops[0])]())
        elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _SWAPPED:
            yield node, _attribute(node, "op", _SWAPPED[type(node.op)]())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node, _attribute(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            other = not node.value if isinstance(node.value, bool) else node.value + 1
            yield node, _attribute(node, "value", other)
        elif isinstance(node, ast.Return) and node.value is not None:
            yield node, _attribute(node, "value", ast.Constant(None))
        elif isinstance(node, ast.If):
            yield node.test, _attribute(node, "test", ast.UnaryOp(ast.Not(), node.test))


def _setter(items: list[Any], index: int, value: Any) -> Change:
    return lambda: items.__setitem__(index, value)


def _attribute(node: ast.AST, name: str, value: Any) -> Change:
    return lambda: setattr(node, name, value)


def mutant(file: Path, draw: random.Random) -> tuple[int, str, str] | None:
    """A module with one change: its line, the line's text, and the whole; None without a place."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    places = [(node, change) for node, change in changes(tree) if hasattr(node, "lineno")]
    if not places:
        return None
    node, change = draw.choice(places)
    before = ast.unparse(copy.deepcopy(tree))
    change()
    after = ast.unparse(ast.fix_missing_locations(tree))
    line: int = getattr(node, "lineno", 0)
    [new] = [b for a, b in zip(before.splitlines(), after.splitlines(), strict=False) if a != b][
        :1
    ] or [""]
    return line, f"{text.splitlines()[line - 1].strip()}  ->  {new.strip()}", after


def tests_of(file: Path) -> list[str]:
    """The tests that import a module, the fewest first; its room's where there are none."""
    name = ".".join(("bakeoff", *file.relative_to(ROOT / "src/bakeoff").with_suffix("").parts))
    found = [t for t in (ROOT / "tests").rglob("test_*.py") if name in t.read_text("utf-8")]
    room = ROOT / "tests" / file.relative_to(ROOT / "src/bakeoff").parts[0]
    own = [t for t in found if room in t.parents]
    return [str(path) for path in (own or found or [room])]


def is_noticed(source: str, file: Path, seconds: float) -> bool:
    """Whether a test fails, or hangs, with the changed module."""
    place = ROOT / "build" / "mutant"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT / "src", place, ignore=shutil.ignore_patterns("__pycache__"))
    (place / file.relative_to(ROOT / "src")).write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += ["-o", f"pythonpath={place} {ROOT}", *tests_of(file)]
    environment = os.environ | {"PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="+", help="packages below src/bakeoff")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0, help="for one change's tests")
    given = parser.parse_args()
    draw = random.Random(given.seed)
    files = sorted(
        file
        for room in given.rooms
        for file in (ROOT / "src/bakeoff" / room).rglob("*.py")
        if file.name != "__init__.py"
    )
    KEPT.parent.mkdir(exist_ok=True)
    for _ in range(given.count):
        file = draw.choices(files, [file.stat().st_size for file in files])[0]
        found = mutant(file, draw)
        if found is None:
            continue
        line, what, source = found
        noticed = is_noticed(source, file, given.seconds)
        place = f"{file.relative_to(ROOT)}:{line}"
        with KEPT.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps({"place": place, "what": what, "noticed": noticed}) + "\n")
        print("noticed " if noticed else "SURVIVED", place, what, flush=True)


if __name__ == "__main__":
    main()
