from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from bakeoff.base import checkpoint
from bakeoff.errors import CheckpointError
from bakeoff.methods import files

SHAPES = {"a": (3, 2), "b": (4,)}


def tensors() -> dict[str, torch.Tensor]:
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


def test_what_was_read_does_not_change_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "w.safetensors"
    written = tensors()
    files.write_tensors(written, path)
    read = files.read_tensors(path, SHAPES)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    for name in SHAPES:
        assert torch.equal(read[name], written[name])


def test_other_formats_are_read_as_float32_and_views_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    matrix = torch.randn(2, 3).bfloat16()
    files.write_tensors({"a": matrix.t(), "b": torch.arange(4.0)}, path)
    read = files.read_tensors(path, SHAPES)
    assert read["a"].dtype == torch.float32
    assert torch.equal(read["a"], matrix.t().float())


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    torch.save(tensors(), path)
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        files.read_tensors(path, SHAPES)


@pytest.mark.parametrize(
    ("text", "number"),
    [("I/O error: No space left on device (os error 28)", errno.ENOSPC), ("broken", errno.EIO)],
)
def test_a_failed_write_is_the_operating_systems_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, number: int
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise SafetensorError(text)

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match=r"broken|No space") as caught:
        files.write_tensors(tensors(), tmp_path / "w.safetensors")
    assert caught.value.errno == number


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"r": 4}', "r is 4, but the study's method needs 8"),
        ("[]", "no JSON object"),
        ("{", "cannot be read"),
        ("\udcff", "cannot be read"),
    ],
)
def test_settings_that_do_not_fit_name_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(CheckpointError) as caught:
        files.check_settings(path, {"r": 8})
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_settings_that_fit_or_are_absent_pass(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    files.write_json({"r": 8, "other": None}, path)
    files.check_settings(path, {"r": 8, "lora_alpha": 16.0})


@pytest.mark.parametrize("kind", ["LoraConfig", "IA3Config"])
def test_settings_in_pefts_form_are_the_same_in_every_process(tmp_path: Path, kind: str) -> None:
    """The library keeps names as sets, whose order changes from process to process."""
    import peft

    names = [f"layer{number}" for number in range(40)]
    more = {"feedforward_modules": names} if kind == "IA3Config" else {}
    config = getattr(peft, kind)(target_modules=names, **more)
    files.write_peft_config(config, tmp_path / "out")
    written = json.loads((tmp_path / "out/adapter_config.json").read_text("utf-8"))
    assert written["target_modules"] == sorted(names)
    assert isinstance(config.target_modules, set)
