"""An export goes to the Hugging Face hub, with the library's own token."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from bakeoff.base.weights.hub import is_hub_id
from bakeoff.errors import ConfigError, StoreError
from bakeoff.inference.card import TASK_FILE

_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_CONFIGS: Final = ("adapter_config.json", "config.json")
_LOGIN: Final = "set HF_TOKEN to a token that may write there, or run `hf auth login`"


def check_repo(repo: str) -> None:
    """Refuses what is no repository's name.

    Raises:
        ConfigError: it is not of the form ``owner/name``.
    """
    if _REPO.fullmatch(repo) is None or ".." in repo or "--" in repo:
        raise ConfigError(
            f"--repo {repo!r}: is not a repository's name; give owner/name, of letters, digits, "
            "dots, dashes and underscores"
        )


def is_export(folder: Path) -> bool:
    """Whether ``bakeoff export`` made the folder, and its weights are there."""
    return (
        (folder / TASK_FILE).is_file()
        and (folder / "README.md").is_file()
        and any((folder / name).is_file() for name in _CONFIGS)
        and any(folder.glob("*.safetensors"))
    )


def push_export(folder: Path, repo: str, *, private: bool = False) -> str:
    """Uploads an export, into a repository that is made where there is none.

    The token is the one that ``huggingface_hub`` finds: ``HF_TOKEN``, or that of ``hf auth login``.

    Args:
        folder: the export.
        repo: ``owner/name``.
        private: whether a repository that is made is private; of one that is there nothing changes.

    Returns:
        The repository's address.

    Raises:
        ConfigError: the folder is no export, or ``repo`` no name.
        StoreError: the hub cannot be reached, or refuses; in one line, without the token.
    """
    check_repo(repo)
    if not is_export(folder):
        raise ConfigError(
            f"{folder}: is not an export: it lacks {TASK_FILE}, README.md, a configuration or "
            "weights; make one with `bakeoff export DIR --to peft --out OUT`"
        )
    import huggingface_hub

    api = huggingface_hub.HfApi()
    try:
        address = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Exported by bakeoff")
    except Exception as error:  # the HTTP library's errors share no base with the hub's
        raise StoreError(f"{repo}: {_said(error)}") from None
    return str(address)


def caution_on(folder: Path) -> str | None:
    """What to know before others load the export: that its base is a folder of this machine."""
    config = folder / "adapter_config.json"
    if not config.is_file():
        return None
    try:
        content: Any = json.loads(config.read_text(encoding="utf-8"))
        base = content.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return None
    if isinstance(base, str) and is_hub_id(base):
        return None
    return (
        f"adapter_config.json names the base {base!r}, which is a folder of this machine: who "
        "loads the adapter must name the base, as README.md says."
    )


def _said(error: Exception) -> str:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return "the hub was not asked, as HF_HUB_OFFLINE is set; unset it and push again"
    if isinstance(error, LocalTokenNotFoundError):
        return f"the hub wants a token, and there is none; {_LOGIN}"
    if isinstance(error, HfHubHTTPError):
        status = getattr(error.response, "status_code", None)
        if status == 401:
            return f"the hub does not accept the token (401), or there is none; {_LOGIN}"
        if status in (403, 404):
            return f"the token may not write there ({status}); {_LOGIN}"
        return f"the hub refused ({_first_line(error)}); push again later, or correct what it names"
    if isinstance(error, ValueError):  # the library's own check of the card's head
        said = "; ".join(line.strip("- ") for line in str(error).splitlines() if line.strip())
        return f"the hub would refuse it ({said}); correct what is named in README.md's first lines"
    return f"the hub cannot be reached ({_first_line(error)}); push again with a network"


def _first_line(error: Exception) -> str:
    """What it says, without the token, whatever the library put into it."""
    from huggingface_hub import get_token

    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    token = get_token()
    return text.replace(token, "***") if token else text
