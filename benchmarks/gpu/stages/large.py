"""A base of eight billion parameters beside TRL's loop and ``Trainer``: ``benchmarks/large.py``."""

from __future__ import annotations

import importlib.util

import torch

from bakeoff.files import cache_folder
from gpu.card import CUDA, require_card
from gpu.processes import Place
from gpu.records import Report, SkippedError
from gpu.scripts import run_script, says_training

LEAST_BYTES = 70 * 2**30
"""Of a card: our base, theirs twice, and the activations of four slots."""
DRY = ("--quick", "--slots", "1", "4", "--steps", "1", "--rival", "trainer")


def run(report: Report, place: Place, quantization: str) -> None:
    """See the module.

    Args:
        report: records each engine. place: where. quantization: what the base is held in.
    """
    require_card()
    if place.dry_run and quantization != "none":
        raise SkippedError("bitsandbytes' own layers cannot hold tensors without values")
    flags = list(DRY if place.dry_run else ("--rival", "trl", "trainer"))
    # Beside the caches, as it takes 16 GB and both stages read it.
    folder = place.out / "llama-small" if place.dry_run else cache_folder() / "llama-8b-random"
    if not place.dry_run:
        total = torch.cuda.get_device_properties(CUDA).total_memory
        if total < LEAST_BYTES:
            raise SkippedError(f"the card has {total / 2**30:.0f} GiB; this takes 70")
        if quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
            raise SkippedError("bitsandbytes is not installed")
    flags += ["--folder", str(folder), "--device", "cuda", "--quantization", quantization]
    run_script(report, "large", flags, says_training)
