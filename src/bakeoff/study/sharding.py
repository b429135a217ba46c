"""A study in parts, each run by itself: ``bakeoff run --shard`` and ``bakeoff join``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import torch

from bakeoff.config import differing, load_yaml
from bakeoff.errors import BakeoffError, ConfigError, StoreError
from bakeoff.execution.apart.exchange import check_names
from bakeoff.execution.apart.found import Library
from bakeoff.execution.apart.parts import JoiningExecutor, PartExecutor, Share
from bakeoff.execution.apart.taking import Taking
from bakeoff.execution.executors import Elsewhere, Executor
from bakeoff.execution.stopping import PartDone
from bakeoff.formatting import join
from bakeoff.runs.events import CohortJob, EventLog, Packed
from bakeoff.runs.folder import INPUTS_FILE, STUDY_FILE, RunFolder
from bakeoff.runs.growth import without_free_keys
from bakeoff.study.stages import Stages
from bakeoff.study.workers import workshop_of

SHARD_FILE: Final = "shard.json"
_INPUTS: Final = ("base", "data", "device and precision")
_SAME_WHERE_JOINED: Final = ("base", "data")
_KEYS: Final = ("number", "count")


def share_from(text: str) -> Share:
    """The share that ``--shard`` names.

    Raises:
        ConfigError: it is not as ``2/8``.
    """
    number, slash, count = text.partition("/")
    if not slash or not number.strip().isdigit() or not count.strip().isdigit():
        raise ConfigError(f"--shard {text!r}: is no share; give a number and of how many, as 2/8")
    share = Share(number=int(number), count=int(count))
    if not 1 <= share.number <= share.count:
        raise ConfigError(
            f"--shard {text}: there are shares 1/{max(share.count, 1)} to "
            f"{max(share.count, 1)}/{max(share.count, 1)}; give one of them"
        )
    return share


def taking_of(stages: Stages) -> Taking:
    """What hands out the jobs of a study's stages, and takes what comes of them."""
    return Taking(stages.recall, stages.events, stages.view, stages.stop, stages.followers)


@dataclass
class OneShard:
    """Runs the jobs of one share and leaves a partial folder.

    Attributes:
        share: which.
    """

    is_part: ClassVar[bool] = True
    trains_here: ClassVar[bool] = True
    share: Share

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """See ``ElsewherePlan``."""

    def prepare(self, folder: RunFolder, events: EventLog) -> None:
        """See ``ElsewherePlan``."""
        before = folder.read_json(SHARD_FILE)
        mine = {"number": self.share.number, "count": self.share.count}
        if isinstance(before, dict) and any(before.get(key) != mine[key] for key in _KEYS):
            raise StoreError(
                f"{folder.path}: is the folder of shard {before.get('number')}/"
                f"{before.get('count')}; give shard {self.share} another folder with --out"
            )
        # Which devices it was trained on before counts on.
        folder.write_json(SHARD_FILE, {**before, **mine} if isinstance(before, dict) else mine)

    def executor(self, stages: Stages, local: Executor) -> Elsewhere:
        """See ``ElsewherePlan``."""
        # Left open it follows from the memory here, and sums may round by it.
        folder = stages.recall.folder
        before = folder.read_json(SHARD_FILE)
        found = {
            **{"number": self.share.number, "count": self.share.count},
            "recomputes": stages.bench.engine.recomputes,
            "devices": sorted({*_devices(before), _device_of(stages)}),
        }
        folder.write_json(SHARD_FILE, found)
        workshop = workshop_of(stages.study, stages.bench)
        return PartExecutor(taking_of(stages), workshop, self.share)

    def trained(self, stages: Stages, executor: Elsewhere, *, cut_short: bool = False) -> None:
        """See ``ElsewherePlan``."""
        executor.test_own()
        if cut_short:
            raise PartDone(
                f"The time budget ended the training of shard {self.share} early.",
                "The same command goes on with the rest; then join the folders of all shards.",
            )
        raise PartDone(
            f"Shard {self.share} is done.",
            "Join the folders of all shards: bakeoff join DIR ... --out DIR",
        )

    def close(self) -> None:
        """See ``ElsewherePlan``."""


@dataclass
class Joining:
    """Takes what shards have left into one folder.

    Attributes:
        folders: the shards'.
    """

    is_part: ClassVar[bool] = False
    trains_here: ClassVar[bool] = False

    folders: Sequence[Path]

    def check(self, fingerprints: Mapping[str, str]) -> None:
        """See ``ElsewherePlan``."""
        first = self.folders[0]
        there = _json(first / INPUTS_FILE)
        for name in _SAME_WHERE_JOINED:
            known = there.get(name) if isinstance(there, dict) else None
            if known != fingerprints[name]:
                raise StoreError(
                    f"{first}: was made from another {name} than is found here ({known} and "
                    f"{fingerprints[name]}); give the shards' own, with --set base=... or "
                    "--set task.source=... where it has moved"
                )

    def prepare(self, folder: RunFolder, events: EventLog) -> None:
        """See ``ElsewherePlan``."""
        known = {job.cohort for kind in ("train", "baseline") for job in events.jobs(kind)}
        coming = [job for job in _jobs_of(self.folders) if job.cohort not in known]
        events.add(*(Packed(job=job) for job in coming))

    def executor(self, stages: Stages, local: Executor) -> Elsewhere:
        """See ``ElsewherePlan``."""
        devices = devices_of(self.folders)
        if len(devices) > 1:
            stages.recall.archive.keep_note(
                f"the shards were trained on different devices ({join(devices)}), whose sums round "
                "differently"
            )
        return JoiningExecutor(taking_of(stages), Library(self.folders), local)

    def trained(self, stages: Stages, executor: Elsewhere, *, cut_short: bool = False) -> None:
        """See ``ElsewherePlan``."""
        if executor.left:
            names = [job.cohort for job in executor.left]
            shown = join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise PartDone(
                f"All that the shards have is joined; no shard has run {shown}.",
                f"bakeoff run {stages.recall.folder.path} runs the rest here.",
            )

    def close(self) -> None:
        """See ``ElsewherePlan``."""


def devices_of(folders: Sequence[Path]) -> list[str]:
    """The devices that shards were trained on, as far as they say so."""
    return sorted({device for folder in folders for device in _devices(_json(folder / SHARD_FILE))})


def _devices(shard: Any) -> list[str]:
    found = shard.get("devices") if isinstance(shard, dict) else None
    return [str(one) for one in found] if isinstance(found, list) else []


def _device_of(stages: Stages) -> str:
    device = stages.bench.base.device
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def check_shards(
    folders: Sequence[Path], out: Path | None = None, *, mixed_devices: bool = False
) -> Path:
    """Holds folders of shards against each other; returns the study that they are of.

    Args:
        folders: the shards'. out: the folder of the whole. mixed_devices: whether they may have
            been trained on different devices.

    Raises:
        StoreError: they do not belong together, naming two of them and what differs.
        ConfigError: there is none.
    """
    if not folders:
        raise ConfigError("DIR: there is none; give the folders of all shards of one study")
    if out is not None and (out / SHARD_FILE).exists():
        raise StoreError(
            f"--out {out}: is the folder of a shard, which stays as it is; give the whole a folder "
            "of its own"
        )
    seen: dict[int, Path] = {}
    first: tuple[Path, dict[str, Any]] | None = None
    for folder in folders:
        found = _read(folder)
        number, count = (int(found["shard"][key]) for key in _KEYS)
        if number in seen:
            raise StoreError(
                f"{folder}: is shard {number}/{count}, as is {seen[number]}; give each shard once"
            )
        seen[number] = folder
        if first is None:
            first = folder, found
            continue
        _compare(*first, folder, found)
    assert first is not None
    devices = devices_of(folders)
    if len(devices) > 1 and not mixed_devices:
        raise StoreError(
            f"{join([*map(str, folders)])}: were trained on different devices ({join(devices)}), "
            "whose sums round differently; run all shards on one kind, or allow it with "
            "--mixed-devices"
        )
    _jobs_of(folders)
    Library(folders)
    return first[0] / STUDY_FILE


def check_moved(study: Mapping[str, Any], folder: Path) -> None:
    """Holds a study that was changed to be joined against that of a shard.

    Args:
        study: resolved. folder: a shard's.

    Raises:
        StoreError: more differs than where base and data lie.
    """
    there = load_yaml((folder / STUDY_FILE).read_text(encoding="utf-8"), where=str(folder))
    lines = differing(without_free_keys(there), without_free_keys(study))
    if different := [line for key, line in lines.items() if not _is_place(key)]:
        shown = "\n  ".join(different[:12])
        raise StoreError(
            f"--set: makes another study than {folder} is of (there and here):\n  {shown}\nSet "
            "where base and data lie, and what may change between calls, alone"
        )


def _is_place(key: str) -> bool:
    """Whether a key says where something lies; what lies there is compared by its content."""
    return key == "base" or key.endswith("source")


def _read(folder: Path) -> dict[str, Any]:
    """What a shard's folder says of itself."""
    shard = _json(folder / SHARD_FILE)
    if not isinstance(shard, dict) or not all(type(shard.get(key)) is int for key in _KEYS):
        what = "is not there" if not folder.is_dir() else f"holds no {SHARD_FILE}"
        raise StoreError(
            f"{folder}: {what}, so it is not what bakeoff run --shard left; give the folders of "
            "shards"
        )
    inputs = _json(folder / INPUTS_FILE)
    try:
        text = (folder / STUDY_FILE).read_text(encoding="utf-8")
        study = load_yaml(text, where=str(folder / STUDY_FILE))
    except (OSError, UnicodeDecodeError, BakeoffError) as error:
        raise StoreError(
            f"{folder / STUDY_FILE}: cannot be read ({error}); copy the shard's folder again"
        ) from None
    if not isinstance(inputs, dict):
        raise StoreError(
            f"{folder / INPUTS_FILE}: is missing or torn; copy the shard's folder again"
        )
    return {"shard": shard, "inputs": inputs, "study": study}


def _compare(one: Path, first: Mapping[str, Any], other: Path, found: Mapping[str, Any]) -> None:
    counts = first["shard"]["count"], found["shard"]["count"]
    if counts[0] != counts[1]:
        raise StoreError(
            f"{one} and {other}: are shards of {counts[0]} and of {counts[1]}; give those of one "
            "division of the study"
        )
    lines = differing(without_free_keys(first["study"]), without_free_keys(found["study"]))
    if different := [line for key, line in lines.items() if not _is_place(key)]:
        shown = "\n  ".join(different[:12])
        raise StoreError(
            f"{one} and {other}: are shards of different studies. These keys differ (there and "
            f"here):\n  {shown}\nRun all shards with one study"
        )
    for name in _INPUTS:
        values = first["inputs"].get(name), found["inputs"].get(name)
        if values[0] != values[1]:
            raise StoreError(
                f"{one} and {other}: were made from another {name} ({values[0]} and {values[1]}); "
                "run all shards with the same one"
            )
    recomputes = [it["shard"].get("recomputes") for it in (first, found)]
    if None not in recomputes and recomputes[0] != recomputes[1]:
        raise StoreError(
            f"{one} and {other}: one of them computed activations again for lack of memory; run "
            "all shards with --set engine.gradient_checkpointing=true, or all with false"
        )
    versions = first["inputs"].get("versions"), found["inputs"].get("versions")
    if versions[0] != versions[1]:
        raise StoreError(
            f"{one} and {other}: were made with other versions ({_shown(versions[0])} and "
            f"{_shown(versions[1])}); run all shards with the same ones"
        )


def _shown(versions: Any) -> str:
    if not isinstance(versions, dict):
        return "unknown"
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _jobs_of(folders: Sequence[Path]) -> list[CohortJob]:
    """The jobs that shards have packed, which must be the same in all of them."""
    found: dict[str, tuple[CohortJob, Path]] = {}
    for folder in folders:
        log = EventLog(folder, only_reads=True)
        for job in (*log.jobs("train"), *log.jobs("baseline")):
            check_names(job, str(log.path))
            before, place = found.setdefault(job.cohort, (job, folder))
            if before == job:
                continue
            if replace(job, threads=before.threads) == before:
                raise StoreError(
                    f"{place} and {folder}: computed on {before.threads} and {job.threads} "
                    "threads, and sums round by their number; run all shards with one "
                    "OMP_NUM_THREADS"
                )
            raise StoreError(
                f"{place} and {folder}: packed other candidates into {job.cohort} "
                f"({before.width} slots of {before.micro_batch_size} rows and {job.width} of "
                f"{job.micro_batch_size}); give slots a number, and run all shards again"
            )
    return [job for job, _ in found.values()]


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
