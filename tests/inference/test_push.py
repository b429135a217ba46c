"""`bakeoff push`, against a double of the hub's client: no network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.errors import BakeoffError, ConfigError, StoreError

TOKEN = "hf_" + "s" * 34


class Hub:
    """What the library's client is asked for."""

    calls: ClassVar[list[tuple[str, dict[str, Any]]]] = []
    error: ClassVar[Exception | None] = None
    stored: ClassVar[dict[str, dict[str, str]]] = {}

    def create_repo(self, repo_id: str, **options: Any) -> str:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        if self.error is not None:
            raise self.error
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, **options: Any) -> None:
        files = sorted(path.name for path in Path(options["folder_path"]).iterdir())
        self.calls.append(("upload_folder", {**options, "files": files}))
        found = Path(options["folder_path"])
        self.stored[options["repo_id"]] = {
            path.relative_to(found).as_posix(): path.read_text("utf-8", errors="replace")
            for path in sorted(found.rglob("*"))
            if path.is_file()
        }


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(Hub, "calls", [])
    monkeypatch.setattr(Hub, "error", None)
    monkeypatch.setattr(Hub, "stored", {})
    return Hub


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """As far as the command looks at one."""
    folder = tmp_path / "lora"
    folder.mkdir()
    for name in ("bakeoff_task.json", "README.md", "adapter_model.safetensors"):
        (folder / name).write_text("{}", encoding="utf-8")
    base = {"base_model_name_or_path": "org/base"}
    (folder / "adapter_config.json").write_text(json.dumps(base), encoding="utf-8")
    return folder


def push(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["push", *map(str, arguments)])


@pytest.mark.parametrize(("flags", "private"), [((), None), (("--private",), True)])
def test_the_folder_goes_up_as_it_is(
    hub: type[Hub], export: Path, flags: tuple[str, ...], private: bool | None
) -> None:
    done = push(export, "--repo", "me/lora", *flags)
    assert done.exit_code == 0, done.output
    assert done.output == "https://huggingface.co/me/lora\n"
    [(_, made), (what, uploaded)] = hub.calls
    assert made == {"repo_id": "me/lora", "private": private, "exist_ok": True}
    assert what == "upload_folder" and uploaded["repo_id"] == "me/lora"
    assert uploaded["folder_path"] == export
    assert "adapter_model.safetensors" in uploaded["files"]
    assert "token" not in made and "token" not in uploaded


def test_a_base_that_is_a_folder_is_refused_until_its_id_is_given(
    hub: type[Hub], export: Path
) -> None:
    base = {"base_model_name_or_path": "/home/me/base", "r": 8}
    (export / "adapter_config.json").write_text(json.dumps(base), encoding="utf-8")
    card = (
        "---\nlicense: mit\n---\n\nAn adapter of `base`, tuned by lora\n\nThe base is the folder "
        '/home/me/base of the machine\n\nbase = from_pretrained("/home/me/base")\n'
        "`hf download owner/name --local-dir lora` brings this folder from the hub.\n"
    )
    (export / "README.md").write_text(card, encoding="utf-8")
    done = push(export, "--repo", "me/lora")
    assert isinstance(done.exception, ConfigError) and hub.calls == []
    said = str(done.exception)
    assert "adapter_config.json: the base is /home/me/base, which is on this machine alone" in said
    assert "--base OWNER/NAME" in said and "\n" not in said

    done = push(export, "--repo", "me/lora", "--base", "org/base")
    assert done.exit_code == 0, done.output
    uploaded = hub.stored["me/lora"]
    config = json.loads(uploaded["adapter_config.json"])
    assert config == {"base_model_name_or_path": "org/base", "r": 8}
    text = uploaded["README.md"]
    assert "/home/me" not in text and 'from_pretrained("org/base")' in text
    assert text.startswith('---\nbase_model: "org/base"\nlicense: mit\n')
    assert "An adapter of `org/base`" in text and "hf download me/lora --local-dir lora" in text
    # The export itself stays as it was.
    assert (export / "README.md").read_text("utf-8") == card
    done = push(export, "--repo", "me/lora", "--base", "../base")
    assert "--base '../base': is not a hub id" in str(done.exception)


@pytest.mark.parametrize(
    "missing",
    ["bakeoff_task.json", "README.md", "adapter_config.json", "adapter_model.safetensors"],
)
def test_what_is_no_export_is_refused_unasked(hub: type[Hub], export: Path, missing: str) -> None:
    (export / missing).unlink()
    done = push(export, "--repo", "me/lora")
    assert isinstance(done.exception, ConfigError)
    assert "is not an export" in str(done.exception)
    assert hub.calls == []


@pytest.mark.parametrize("repo", ["lora", "me/", "me/lo ra", "../lora", "me/a/b", "me/a..b"])
def test_what_is_no_name_is_refused_unasked(hub: type[Hub], export: Path, repo: str) -> None:
    done = push(export, "--repo", repo)
    assert isinstance(done.exception, ConfigError)
    assert "give owner/name" in str(done.exception)
    assert hub.calls == []


def test_options_of_a_run_are_refused_of_an_export(hub: type[Hub], export: Path) -> None:
    done = push(export, "--repo", "me/lora", "--to", "merged")
    assert "--to: is for a run's folder" in str(done.exception)
    assert hub.calls == []


def refused(status: int) -> Exception:
    # The library's HTTP client has another name from version to version; this is all it looks at.
    response: Any = SimpleNamespace(headers={}, request=None, status_code=status)
    return HfHubHTTPError(f"{status} for Bearer {TOKEN}\nmore", response=response)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(401), "does not accept the token (401), or there is none; set HF_TOKEN"),
        (refused(403), "the token may not write there (403); set HF_TOKEN"),
        (refused(500), "the hub refused (HfHubHTTPError: 500"),
        (LocalTokenNotFoundError("none"), "wants a token, and there is none; set HF_TOKEN"),
        (ConnectionError(f"no route for {TOKEN}"), "cannot be reached (ConnectionError: no route"),
        (
            ValueError('Invalid metadata in README.md.\n- "license" must be one of [mit, ...]'),
            'would refuse it (Invalid metadata in README.md.; "license" must be one of [mit, ...])',
        ),
    ],
)
def test_an_error_is_one_line_with_its_remedy_and_without_the_token(
    hub: type[Hub], export: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    monkeypatch.setattr(hub, "error", error)
    done = push(export, "--repo", "me/lora")
    assert isinstance(done.exception, StoreError) and isinstance(done.exception, BakeoffError)
    said = str(done.exception)
    assert said.startswith("me/lora: ") and words in said
    assert "\n" not in said
    assert TOKEN not in said + done.output
    # Nor in what a traceback would show.
    assert done.exception.__suppress_context__


def test_offline_the_real_client_is_told_apart(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_api

    monkeypatch.setattr(huggingface_hub, "HfApi", hf_api.HfApi)
    done = push(export, "--repo", "me/lora")
    assert str(done.exception) == (
        "me/lora: the hub was not asked, as HF_HUB_OFFLINE is set; unset it and push again"
    )
