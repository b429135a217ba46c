"""Changes one place of the code at a time and looks whether a test of its own notices.

``python -m tools.mutate --count 60`` draws places at random from the rooms that matter most, with a
fixed seed: mutant number n is the same in every call. Each is run in a process that is forked from
this one, which has imported the libraries and nothing of bakeoff: the changed source is imported in
place of the file, and the file's own tests run in that process until one fails. Where ``python -m
tools.covering`` has kept which tests run the line, these are run first and their files next, and no
others. What was found is kept in ``build/mutants.jsonl``, so that a later call goes on; ``--again``
runs the survivors again, and ``--at FILE:LINE`` every change of one line.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any, Final

from tools.covering import LEFT_OUT, ROOT, SOURCE, Covering

KEPT: Final = ROOT / "build" / "mutants.jsonl"
ROOMS: Final = (
    *("decide", "metrics", "runs", "search", "tasks", "engine/step.py", "engine/optimizer.py"),
    *("engine/loss.py", "engine/train.py", "engine/generation/greedy.py"),
)
_LIBRARIES: Final = (
    *("numpy", "scipy.stats", "pandas", "torch", "transformers", "tokenizers", "safetensors.torch"),
    *("peft", "pydantic", "ruamel.yaml", "jinja2", "rich.console", "typer", "optuna", "datasets"),
    *("sklearn.metrics", "sacrebleu", "rouge_score.rouge_scorer", "hypothesis", "pytest"),
    *("transformers.models.gpt_neo.modeling_gpt_neo", "jsonschema", "psutil", "filelock"),
)
_SWAPPED: Final[dict[type[ast.AST], type[ast.AST]]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
}
_SHOWN: Final = 160
_FIRST: Final = 40
"""Of the tests that run a line, how many are run before their files."""
LATE: Final = "timeout"
"""Where the tests take too long to say anything."""
Change = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A module with one change.

    Attributes:
        what: the line before and after. source: the whole module's.
    """

    file: Path
    line: int
    what: str
    source: str

    @property
    def place(self) -> str:
        """Where it is."""
        return f"{self.file.relative_to(ROOT)}:{self.line}"

    @property
    def module(self) -> str:
        """The module's name."""
        return ".".join(("bakeoff", *self.file.relative_to(SOURCE).with_suffix("").parts))


def changes(tree: ast.Module) -> Iterator[tuple[ast.AST, Change]]:
    """Each place of a module that can be changed, with what changes it.

    Annotations stay, and decorators: of a frozen dataclass as of another nothing differs.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            within = value if isinstance(value, list) else [value]
            waiting += [one for one in within if isinstance(one, ast.AST)]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting = [one for one in waiting if one not in node.body]
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
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


def mutant_of(file: Path, number: int) -> Mutant | None:
    """A file with its change number so and so; None where that makes no difference."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    before = ast.unparse(tree).splitlines()
    node, change = list(changes(tree))[number]
    line = getattr(node, "lineno", None)
    change()
    after = ast.unparse(ast.fix_missing_locations(tree))
    new = next((b for a, b in zip(before, after.splitlines(), strict=False) if a != b), None)
    if new is None or line is None:
        return None
    what = f"{text.splitlines()[line - 1].strip()}  ->  {new.strip()[:_SHOWN]}"
    return Mutant(file=file, line=line, what=what, source=after)


@cache
def num_changes(file: Path) -> int:
    """How many places of a file can be changed."""
    return sum(1 for _ in changes(ast.parse(file.read_text(encoding="utf-8"))))


def drawn(rooms: Sequence[str], seed: int, number: int) -> Mutant:
    """Mutant number so and so of some rooms: every place of them is as likely."""
    draw = random.Random(f"{seed}-{number}")
    files = files_of(rooms)
    while True:
        [file] = draw.choices(files, [num_changes(file) for file in files])
        found = mutant_of(file, draw.randrange(num_changes(file)))
        if found is not None:
            return found


def files_of(rooms: Sequence[str]) -> list[Path]:
    """The files of packages, or single ones, below ``src/bakeoff``."""
    return sorted(
        file
        for room in rooms
        for file in ((SOURCE / room).rglob("*.py") if (SOURCE / room).is_dir() else [SOURCE / room])
        if file.name != "__init__.py"
    )


def tests_of(mutant: Mutant) -> list[list[str]]:
    """What is run, in this order: those that run the line, or that import the module."""
    parts = mutant.file.relative_to(SOURCE).parts
    running = _covered(ROOT / "tests" / parts[0], mutant)
    return _importing(mutant) if running is None else running


@cache
def _known() -> Covering | None:
    try:
        return Covering()
    except OSError:
        return None


def _covered(room: Path, mutant: Mutant) -> list[list[str]] | None:
    """The tests of a room that run the line, then their files; None where that is not known."""
    known = _known()
    tests = None if known is None else known.tests_of(mutant.file, mutant.line)
    if tests is None:
        return None
    mine = [test for test in tests if room in (ROOT / test).parents] or tests
    return [mine[:_FIRST], sorted({str(ROOT / test.partition("::")[0]) for test in mine})]


def _importing(mutant: Mutant) -> list[list[str]]:
    """The tests that import the module, then the rest of its room's."""
    parts = mutant.file.relative_to(SOURCE).parts
    room = ROOT / "tests" / parts[0]
    texts = {test: test.read_text("utf-8") for test in (ROOT / "tests").rglob("test_*.py")}
    name, (package, _, own) = mutant.module, mutant.module.rpartition(".")
    importing = [
        test
        for test, text in texts.items()
        if name in text
        or f"from {package} import {own}" in text
        or (test.name == f"test_{own}.py" and room in test.parents)
    ]
    in_room = [test for test in texts if room in test.parents]
    mine = [test for test in importing if room in test.parents] or importing or in_room
    others = [test for test in in_room if test not in mine]
    if len(parts) == 2 and parts[0] == "engine":
        others = [test for test in others if test.parent == room]
    # The module's very own tests first: a change that makes others slow ends there.
    mine.sort(key=lambda test: (test.name != f"test_{own}.py", str(test)))
    return [list(map(str, mine)), sorted(map(str, others))]


class _Changed(importlib.abc.InspectLoader, importlib.abc.MetaPathFinder):
    """Imports a changed source in place of a module's file."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.mutant.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self.mutant.file, loader=self)

    def get_source(self, fullname: str) -> str:
        return self.mutant.source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.mutant.source, str(self.mutant.file), "exec")

    def exec_module(self, module: Any) -> None:
        exec(self.get_code(module.__name__), module.__dict__)


class _First:
    """The name of the first test that failed, or of the file that could not be collected."""

    def __init__(self) -> None:
        self.name: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.name is None:
            self.name = str(report.nodeid)

    pytest_collectreport = pytest_runtest_logreport


@cache
def check_unchanged(test: str, seconds: float) -> None:
    """Looks once, of each test that noticed something, whether it passes without any change.

    Raises:
        SystemExit: it fails, so that it notices nothing.
    """
    if (found := fate(None, [test], seconds)) is not None:
        raise SystemExit(f"{test} fails without any change ({found}); mend it first")


def fate(mutant: Mutant | None, tests: list[str], seconds: float) -> str | None:
    """The test that notices a mutant, ``LATE``, or None; without a mutant nothing is changed."""
    if not tests:
        return None
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _become_tests(mutant, tests, writing)
    os.close(writing)
    ends, said = time.monotonic() + seconds, None
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > ends:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            said = LATE
            break
        time.sleep(0.02)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        found = said or pipe.read() or "the tests ended without a word"
    return None if found == "survived" else found


def _become_tests(mutant: Mutant | None, tests: list[str], writing: int) -> None:
    """Never returns."""
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    found = "the tests could not begin"
    try:
        import pytest

        if mutant is not None:
            sys.meta_path.insert(0, _Changed(mutant))
        first = _First()
        options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly", "-m", LEFT_OUT]
        # By default pytest imports ``*_test.py`` itself, as tests, and so without the change.
        options += ["-o", "python_files=test_*.py"]
        code = pytest.main([*options, *tests], plugins=[first])
        # 5: none of them is to be run here.
        found = "survived" if code in (0, 5) else first.name or f"pytest ended with {int(code)}"
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    finally:
        os.write(writing, found[:1000].encode("utf-8", "replace"))
        os._exit(0)


def warm_up() -> None:
    """Imports the libraries, and computes nothing."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    os.chdir(ROOT)
    for name in _LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    assert not any(name.partition(".")[0] == "bakeoff" for name in sys.modules)
    gc.collect()
    gc.freeze()


def tried(mutant: Mutant, seconds: float, *, own: bool = False) -> dict[str, Any]:
    """What became of a mutant, as it is kept; ``own`` leaves out the rest of its room's tests."""
    started, by = time.monotonic(), None
    for tests in tests_of(mutant)[: 1 if own else None]:
        left = seconds - (time.monotonic() - started)
        by = fate(mutant, tests, max(5.0, left))
        if by is not None:
            break
    known = _known()
    if by is not None and "::" in by and not (known is not None and known.has_passed(by)):
        check_unchanged(by, seconds)
    spent = round(time.monotonic() - started, 1)
    word = "late    " if by == LATE else "noticed " if by else "SURVIVED"
    print(word, mutant.place, mutant.what, by or "", spent, flush=True)
    return {"place": mutant.place, "what": mutant.what, "by": by, "seconds": spent}


def kept() -> dict[int, dict[str, Any]]:
    """What earlier calls have found, by number; the last word counts."""
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    return {one["number"]: one for one in map(json.loads, lines)}


def table(found: dict[int, dict[str, Any]]) -> str:
    """How many were noticed in each room, how many took too long to say, and the survivors."""
    rooms: dict[str, list[str | None]] = {}
    for one in found.values():
        room = one["place"].removeprefix("src/bakeoff/").partition("/")[0]
        for name in (room, "all"):
            rooms.setdefault(name, []).append(one["by"])
    lines = [
        "| room | changes | noticed | survived | late |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, fates in sorted(rooms.items(), key=lambda room: (room[0] == "all", room[0])):
        survived, late = fates.count(None), fates.count(LATE)
        noticed = len(fates) - survived - late
        lines.append(f"| {name} | {len(fates)} | {noticed} | {survived} | {late} |")
    unknown = {number: one for number, one in found.items() if one["by"] in (None, LATE)}
    return "\n".join([*lines, *(f"{n}: {o['place']}: {o['what']}" for n, o in unknown.items())])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rooms", nargs="*", default=ROOMS, help="below src/bakeoff")
    parser.add_argument("--count", type=int, default=500, help="mutants in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=90.0, help="for one mutant's tests")
    parser.add_argument("--budget", type=float, help="begins none after so many seconds")
    parser.add_argument("--own", action="store_true", help="only tests that import the module")
    parser.add_argument("--again", action="store_true", help="only those that nothing noticed yet")
    parser.add_argument("--at", metavar="FILE:LINE", action="append", help="every change of a line")
    parser.add_argument("--table", action="store_true", help="only prints what was found")
    given = parser.parse_args()
    if given.table:
        print(table(kept()))
        return
    started = time.monotonic()
    warm_up()
    if given.at:
        for place in given.at:
            file, _, line = place.rpartition(":")
            whole = (ROOT / file).resolve()
            for mutant in (mutant_of(whole, n) for n in range(num_changes(whole))):
                if mutant is not None and mutant.line == int(line):
                    tried(mutant, given.seconds)
        return
    KEPT.parent.mkdir(exist_ok=True)
    before = kept()
    survivors = [number for number, one in before.items() if one["by"] in (None, LATE)]
    new = [number for number in range(given.count) if number not in before]
    for number in survivors if given.again else new:
        if given.budget is not None and time.monotonic() - started > given.budget:
            break
        mutant = drawn(given.rooms, given.seed, number)
        found = {"number": number, **tried(mutant, given.seconds, own=given.own)}
        with KEPT.open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
    print(table(kept()))


if __name__ == "__main__":
    main()
