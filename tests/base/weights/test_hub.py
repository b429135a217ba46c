"""Bases from the hub's cache, with a hub that does not answer."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import constants, errors, snapshot_download

from bakeoff.base.weights import hub as hub_module
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError, CheckpointError

HUB_ID = "bakeoff-tests/tiny-llama"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no route to the network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    # Online as far as the library knows, so that the failing connection is what a test sees.
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)


@pytest.fixture
def hub_cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([[5, 17, 200, 3]])).logits
    return result


@pytest.fixture
def cached(saved: Path, hub_cache: Path) -> Path:
    """The saved model as the hub's library would have left it, without its own listings."""
    repository = hub_cache / f"models--{HUB_ID.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(saved, repository / "snapshots" / COMMIT))


@pytest.mark.parametrize("offline", [True, False])
def test_a_cached_hub_base_loads_without_the_hub(
    cached: Path,
    saved: Path,
    load: Callable[..., Source],
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,
) -> None:
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = load(HUB_ID)
    assert torch.equal(logits(source.model), logits(load(str(saved)).model))
    assert source.model.name_or_path == HUB_ID
    assert COMMIT[:12] in source.description
    assert load(HUB_ID, revision=COMMIT).fingerprint == source.fingerprint
    with pytest.raises(BaseModelError, match="revision 'v2'"):
        load(HUB_ID, revision="v2")


def test_the_hub_fingerprint_names_commit_and_sizes(
    cached: Path, load: Callable[..., Source]
) -> None:
    before = load(HUB_ID).fingerprint
    other = "f" * 40
    cached.rename(cached.parent / other)
    (cached.parents[1] / "refs" / "main").write_text(other)
    assert load(HUB_ID).fingerprint != before


def test_an_unreachable_base_says_what_was_tried_and_what_works_offline(
    load: Callable[..., Source], hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BaseModelError) as caught:
        load("nobody/nothing")
    online = str(caught.value)
    assert "no route to the network" in online or "ConnectError" in online
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BaseModelError) as caught:
        load("nobody/nothing")
    offline = str(caught.value)
    assert "HF_HUB_OFFLINE is set" in offline
    for message in (online, offline):
        assert "'nobody/nothing'" in message
        assert str(hub_cache) in message
        for remedy in (
            "'tiny'",
            "bakeoff bases get smollm2-135m",
            "config.json",
            "scratch:gpt-neo-125m",
        ):
            assert remedy in message


def test_a_cached_base_with_pickles_only_is_refused(
    cached: Path, load: Callable[..., Source]
) -> None:
    (cached / "model.safetensors").rename(cached / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin"):
        load(HUB_ID)


class FakeHub:
    """A hub that answers: its one model is the folder ``files``."""

    def __init__(self, files: Path, cache: Path) -> None:
        self.files = files
        self.snapshot = cache / "snapshots" / COMMIT
        self.sent: list[str] = []

    def model_info(self, repo_id: str, **options: Any) -> SimpleNamespace:
        assert options["timeout"] <= 10
        return SimpleNamespace(sha=COMMIT)

    def download(
        self, repo_id: str, *, allow_patterns: list[str], ignore_patterns: list[str], **_: Any
    ) -> str:
        names = [str(file.relative_to(self.files)) for file in self.files.rglob("*")]
        self.snapshot.mkdir(parents=True, exist_ok=True)
        for name in names:
            if not any(fnmatch(name, p) for p in allow_patterns):
                continue
            if any(fnmatch(name, p) for p in ignore_patterns):
                continue
            if not (self.snapshot / name).exists():
                shutil.copy(self.files / name, self.snapshot / name)
                self.sent.append(name)
        return str(self.snapshot)


@pytest.fixture
def hub(folder: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(folder, hub_cache)
    monkeypatch.setattr(hub_module, "HfApi", lambda: fake)
    monkeypatch.setattr(hub_module, "snapshot_download", fake.download)
    return fake


def test_a_download_takes_what_is_needed_and_no_more(
    hub: FakeHub, load: Callable[..., Source]
) -> None:
    for name in ("pytorch_model.bin", "modeling.py", "onnx/config.json", "pictures.png"):
        (hub.files / name).parent.mkdir(exist_ok=True)
        (hub.files / name).write_bytes(b"")
    source = load(HUB_ID)
    assert torch.equal(logits(source.model), logits(load("base").model))
    assert sorted(hub.sent) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_a_model_that_is_refused_costs_no_download_of_weights(
    hub: FakeHub, load: Callable[..., Source]
) -> None:
    config = json.loads((hub.files / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (hub.files / "config.json").write_text(json.dumps(config))
    with pytest.raises(BaseModelError, match="gptq"):
        load(HUB_ID)
    assert "model.safetensors" not in hub.sent


def test_a_hub_model_with_pickles_only_is_refused(
    hub: FakeHub, load: Callable[..., Source]
) -> None:
    (hub.files / "model.safetensors").rename(hub.files / "pytorch_model.bin")
    with pytest.raises(BaseModelError, match=r"has no model\.safetensors.*save_pretrained"):
        load(HUB_ID)
    assert "pytorch_model.bin" not in hub.sent


def test_a_download_that_breaks_off_says_so(
    hub: FakeHub, load: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> str:
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(hub_module, "snapshot_download", broken)
    with pytest.raises(BaseModelError, match=r"broke off.*reset by peer.*run again"):
        load(HUB_ID)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (errors.GatedRepoError, "gated"),
        (errors.RepositoryNotFoundError, "no such model"),
        (errors.RevisionNotFoundError, "no revision 'v9'"),
    ],
)
def test_what_the_hub_answered_is_in_the_error(
    hub: FakeHub,
    load: Callable[..., Source],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
    expected: str,
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise kind.__new__(kind)  # without the HTTP response that the constructor asks for

    monkeypatch.setattr(hub, "model_info", refuse)
    monkeypatch.setattr(hub_module, "snapshot_download", snapshot_download)
    with pytest.raises(BaseModelError, match=expected):
        load(HUB_ID, revision="v9")
