"""``import bakeoff``: light, whole, and typed."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bakeoff

SOURCE = Path(bakeoff.__file__).parents[1]


def test_every_name_is_there_and_documented() -> None:
    assert set(bakeoff.__all__) <= set(dir(bakeoff))
    for name in bakeoff.__all__:
        found = getattr(bakeoff, name)
        assert name == "__version__" or len(inspect.getdoc(found) or "") > 40, name
    assert (SOURCE / "bakeoff" / "py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = bakeoff.no_such_name


def test_a_study_is_checked_before_anything_heavy_is_loaded() -> None:
    code = (
        "import sys, bakeoff\n"
        "try:\n"
        "    bakeoff.Study(name='a', base='tiny', methods={'lora': {'rnk': 1}},\n"
        "        task={'source': [{'document': 'a', 'summary': 'b'}]})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
        "heavy = {'torch', 'transformers', 'datasets', 'altair', 'pandas', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    message, heavy = done.stdout.splitlines()
    assert message.startswith("methods.lora.rnk")
    assert heavy == "[]"


def offered(folder: Path, text: str) -> dict[str, str]:
    """The environment of a process that finds a package with these entry points."""
    about = folder / "offering-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(text)
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), str(folder)])}


def test_a_package_that_cannot_be_imported_is_named_and_the_rest_works(tmp_path: Path) -> None:
    environment = offered(
        tmp_path,
        "[bakeoff.methods]\nbroken = no_such_module:SPEC\n"
        "[bakeoff.tasks]\nbroken_task = no_such_module:Task\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "bakeoff", "methods"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "lora: " in done.stdout and "broken" not in done.stdout
    assert done.stderr.splitlines() == [
        "note: methods: 'broken' is of the package offering, whose no_such_module:SPEC cannot be "
        "imported (ModuleNotFoundError: No module named 'no_such_module'); mend or remove that "
        "package"
    ]
    task = "task={kind: broken_task, source: wire}"
    for setting, place in ((task, "task.kind"), ("methods={a: {kind: broken}}", "methods.a.kind")):
        done = subprocess.run(
            [sys.executable, "-m", "bakeoff", "run", "--set", setting, "--out", tmp_path / "out"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert f"Error: {place}: 'broken" in done.stderr
        assert "is of the package offering, whose no_such_module:" in done.stderr
