"""An export goes to the Hugging Face hub, with the library's own token."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

from bakeoff.base.weights.hub import is_hub_id
from bakeoff.errors import ConfigError, StoreError
from bakeoff.inference.card import TASK_FILE, base_card_text, renamed_base
from bakeoff.inference.loading import DOWNLOAD, REPO
from bakeoff.inference.naming import BASE_FOLDER, only_here
from bakeoff.methods.files import PEFT_CONFIG, write_json

_REPO: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_CARD: Final = "README.md"
_CONFIG: Final = "config.json"
_OF_THE_ADAPTER: Final = ("adapter_", "bakeoff_", _CARD)
_CONFIGS: Final = (PEFT_CONFIG, _CONFIG)
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
        and (folder / _CARD).is_file()
        and any((folder / name).is_file() for name in _CONFIGS)
        and any(folder.glob("*.safetensors"))
    )


def check_export(folder: Path) -> None:
    """Refuses what ``bakeoff export`` did not make.

    Raises:
        ConfigError: saying what it lacks.
    """
    if not is_export(folder):
        raise ConfigError(
            f"{folder}: is not an export: it lacks {TASK_FILE}, README.md, a configuration or "
            "weights; make one with `bakeoff export DIR --to peft --out OUT`"
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
    check_export(folder)
    return push_folder(folder, repo, private=private)


def push_folder(folder: Path, repo: str, *, private: bool = False) -> str:
    """Uploads a folder as it is; see ``push_export``."""
    import huggingface_hub

    api = huggingface_hub.HfApi()
    try:
        address = api.create_repo(repo, private=private or None, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Exported by bakeoff")
    except Exception as error:  # the HTTP library's errors share no base with the hub's
        raise StoreError(f"{repo}: {_said(error)}") from None
    return str(address)


def made_findable(
    folder: Path, repo: str, given: str | None, place: Path
) -> tuple[Path, Path | None]:
    """The export as it is to go up: what it names as its base is found from anywhere.

    A base that is nowhere else goes into a repository of its own, ``base_repo``: no library looks
    for a base in a folder of an adapter's repository.

    Args:
        folder: the export. repo: where it goes.
        given: the hub id of its base, where the user says it.
        place: a folder, where copies are made if anything is to be changed.

    Returns:
        The export, itself or changed; and its base, where that is to go up as well.

    Raises:
        ConfigError: its base is on this machine alone.
    """
    config = folder / PEFT_CONFIG
    if not config.is_file():
        if given is not None:
            raise ConfigError(
                f"--base {given}: {folder} is a whole model, which needs no base; leave it out"
            )
        return folder, None
    try:
        content: Any = json.loads(config.read_text(encoding="utf-8"))
        was = content.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{config}: cannot be read ({error}); export it again") from error
    beside = folder / BASE_FOLDER
    if given is None and isinstance(was, str) and is_hub_id(was):
        return folder, None
    if given is None and not (beside / _CONFIG).is_file():
        raise ConfigError(f"{config}: {only_here(str(was))}")
    named = given or base_repo(repo)
    changed = place / "changed" / folder.resolve().name
    shutil.copytree(folder, changed, ignore=shutil.ignore_patterns(BASE_FOLDER))
    write_json({**content, "base_model_name_or_path": named}, changed / PEFT_CONFIG)
    card = changed / _CARD
    text = card.read_text(encoding="utf-8")
    card.write_text(renamed_base(text, str(was), named), encoding="utf-8")
    if given is not None:
        return changed, None
    base = place / "base"
    shutil.copytree(beside, base)
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith(_OF_THE_ADAPTER):
            shutil.copy2(file, base)  # the tokenizer's
    (base / _CARD).write_text(base_card_text(text, repo), encoding="utf-8")
    return changed, base


def base_repo(repo: str) -> str:
    """Where the base of a repository's adapter goes."""
    return f"{repo}-base"


def address(folder: Path, repo: str) -> None:
    """Says in an export's card where it is found."""
    card = folder / _CARD
    text = card.read_text(encoding="utf-8")
    said = text.replace(f"`{DOWNLOAD} {REPO} ", f"`{DOWNLOAD} {repo} ")
    card.write_text(said, encoding="utf-8")


def check_base(given: str | None) -> None:
    """Refuses what is no hub id of a base.

    Raises:
        ConfigError: it is not of the form ``owner/name``.
    """
    if given is not None and not is_hub_id(given):
        raise ConfigError(
            f"--base {given!r}: is not a hub id; give one as HuggingFaceTB/SmolLM2-135M"
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
