"""What an export calls its base, so that others can find it, and under which licence that is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from bakeoff.base.weights.gguf_metadata import read_gguf_metadata
from bakeoff.base.weights.references import SCRATCH_PREFIX, SMOLLM2_REFERENCE, TINY_REFERENCE
from bakeoff.base.weights.smollm2 import find_smollm2
from bakeoff.base.wire_bases.shapes import FAMILY, here
from bakeoff.config import load_yaml
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.files import cache_folder
from bakeoff.inference.finished import FinishedRun

SMOLLM2_HUB: Final = "HuggingFaceTB/SmolLM2-135M-Instruct"
BASE_FOLDER: Final = "base"
"""Where an export puts a base that is nowhere else."""
_CARD: Final = "README.md"


@dataclass(frozen=True, kw_only=True)
class BaseName:
    """A base as others find it.

    Attributes:
        path: what ``adapter_config.json`` names. card: ``base_model`` of the model card.
        revision: of a hub id, where the study names one.
        caution: a sentence on what to know; empty where the base is simply the same.
        beside: whether the export holds the base itself.
    """

    path: str
    card: str
    revision: str | None = None
    caution: str = ""
    beside: bool = False

    @property
    def is_on_the_hub(self) -> bool:
        """Whether ``path`` is a hub id."""
        return self.path == self.card and not self.beside


def named_base(run: FinishedRun, out: Path) -> BaseName:
    """How the export of one of the run's candidates names its base.

    Args:
        run: the run. out: the export's folder.
    """
    reference = run.study.options.base
    if reference == SMOLLM2_REFERENCE:
        return BaseName(
            path=SMOLLM2_HUB,
            card=SMOLLM2_HUB,
            caution=f"The study's base was a Q4_1 GGUF of {SMOLLM2_HUB}, so over the weights of "
            "the hub the results differ slightly.",
        )
    is_ours = reference == TINY_REFERENCE or reference in FAMILY
    if is_ours or reference.startswith(SCRATCH_PREFIX):
        return BaseName(path=str(out.absolute() / BASE_FOLDER), card=reference, beside=True)
    folder = _folder(run, reference)
    if folder is None:
        return BaseName(path=reference, card=reference, revision=run.study.options.revision)
    return BaseName(
        path=str(folder),
        card=folder.name,
        caution=f"The base is the folder {folder} of the machine that trained it; elsewhere, set "
        "base_model_name_or_path in adapter_config.json to where the base is.",
    )


def for_others(base: BaseName, given: str | None) -> BaseName:
    """How an export that leaves this machine names its base.

    Args:
        base: as the export would name it here; one that lies in the export may leave with it.
        given: the base's hub id, where the user says it.

    Raises:
        ConfigError: the base is a folder of this machine, and no id is given.
    """
    if given is not None:
        return BaseName(path=given, card=given)
    if not base.is_on_the_hub and not base.beside:
        raise ConfigError(only_here(base.path))
    return base


def only_here(base: str) -> str:
    """What to do where others lack the base of what is pushed."""
    return (
        f"the base is {base}, which is on this machine alone, so that no one could load the "
        "adapter; name the base's hub id with --base OWNER/NAME, or push a whole model, from the "
        "run's folder with --to merged"
    )


def base_license(run: FinishedRun) -> str | None:
    """The licence that the base's own card, configuration or GGUF file states; else None."""
    reference = run.study.options.base
    stated: list[Any] = []
    if reference == SMOLLM2_REFERENCE:
        stated.append(_of_gguf(find_smollm2(cache_folder())))
    elif reference == TINY_REFERENCE:
        card = resources.files("bakeoff.base") / TINY_REFERENCE / _CARD
        stated.append(_of_card(card.read_text(encoding="utf-8")))
    elif reference in FAMILY:
        stated.append(_of_card_file(here(reference, cache_folder()) / _CARD))
    elif (folder := _folder(run, reference)) is not None:
        stated.append(_of_card_file(folder / _CARD))
        stated += [_of_gguf(file) for file in sorted(folder.glob("*.gguf"))[:1]]
    elif not reference.startswith(SCRATCH_PREFIX):
        stated.append(_of_card_file(_cached_card(reference, run.study.options.revision)))
    stated.append(getattr(run.base.source.model.config, "license", None))
    return next((one for one in stated if isinstance(one, str) and one.strip()), None)


def _folder(run: FinishedRun, reference: str) -> Path | None:
    folder = run.study.root / Path(reference).expanduser()
    return folder.resolve() if folder.is_dir() else None


def _cached_card(reference: str, revision: str | None) -> Path | None:
    from huggingface_hub import constants, try_to_load_from_cache

    cache = os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE
    found = try_to_load_from_cache(reference, _CARD, cache_dir=cache, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _of_card_file(card: Path | None) -> Any:
    try:
        return None if card is None else _of_card(card.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _of_card(text: str) -> Any:
    """``license`` of a card's front matter, or the name of one that the hub has no id for."""
    start, _, rest = text.partition("---\n")
    if start.strip() or "\n---" not in rest:
        return None
    try:
        found = load_yaml(rest.partition("\n---")[0] + "\n", where=_CARD)
    except BakeoffError:
        return None
    front = found if isinstance(found, Mapping) else {}
    stated, name = front.get("license"), front.get("license_name")
    return name if stated == "other" and name else stated


def _of_gguf(file: Path | None) -> Any:
    try:
        return None if file is None else read_gguf_metadata(file).get("general.license")
    except BakeoffError:
        return None
