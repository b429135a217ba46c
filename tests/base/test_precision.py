from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.base.precision import choose_device, choose_dtype
from bakeoff.errors import ConfigError

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.mark.parametrize(("there", "expected"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_the_best_device(
    monkeypatch: pytest.MonkeyPatch, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^device: 'cuda' was asked for.*use cpu or auto"):
        choose_device("cuda")


def test_one_of_several_gpus_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cuda").index is None
    rule = r"^device: 'cuda:2' .* sees 2 CUDA devices here; use cuda:0 or cuda:1$"
    with pytest.raises(ConfigError, match=rule):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"sees 1 CUDA device here; use cuda:0$"):
        choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"'cuda:0' .* sees no CUDA device here"):
        choose_device("cuda:0")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^device: 'tpu' is not a device"):
        choose_device("tpu")


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_a_named_precision_is_taken_as_it_is(device: torch.device) -> None:
    assert choose_dtype("float32", device) == torch.float32
    assert choose_dtype("bfloat16", device) == torch.bfloat16
    assert choose_dtype("float16", device) == torch.float16


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((7, 0), torch.float16),
        ((7, 5), torch.float16),
        ((8, 0), torch.bfloat16),
        ((9, 0), torch.bfloat16),
    ],
)
def test_auto_on_a_card_follows_its_generation(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", CUDA) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags : fpu sse2 avx512f avx512_bf16 amx_tile", torch.bfloat16),
        ("flags : fpu sse2 amx_bf16", torch.bfloat16),
        ("Features : fp asimd bf16", torch.bfloat16),
        ("flags : fpu sse2 avx2 avx512f avx512_bf16x", torch.float32),
        (None, torch.float32),
    ],
)
def test_auto_on_a_processor_follows_its_flags(
    monkeypatch: pytest.MonkeyPatch, flags: str | None, expected: torch.dtype
) -> None:
    def read_text(self: Path, **options: Any) -> str:
        assert str(self) == "/proc/cpuinfo"
        if flags is None:
            raise FileNotFoundError
        return f"processor : 0\n{flags}\n"

    monkeypatch.setattr(Path, "read_text", read_text)
    assert choose_dtype("auto", CPU) == expected
