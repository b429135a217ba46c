"""A card cut to 24 GB: what is too large for it is halved, and nothing is lost but time."""

from __future__ import annotations

import numpy as np
import torch

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.generation.generate import GenerationOptions, generate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.types import RunState
from engines.ours import load_base
from engines.workload import SEED, random_plan
from gpu.card import CUDA, DTYPES, Notes, Training, method_on, require_card, slots_of
from gpu.processes import Place
from gpu.records import Report

CARD_BYTES = 24 * 2**30
FULL_BASE, DRY_BASE = "scratch:gpt-neo-125m", "scratch:tiny-gpt-neo"
KINDS = ("lora", "full")


def run(report: Report, place: Place) -> None:
    """See the module."""
    require_card()
    reference, rows, length, slots = FULL_BASE, 256, 1024, 8
    if place.dry_run:
        reference, rows, length, slots = DRY_BASE, 8, 64, 2
    total = torch.cuda.get_device_properties(CUDA).total_memory
    share = min(1.0, CARD_BYTES / total)
    torch.cuda.set_per_process_memory_fraction(share, CUDA)
    base, _ = load_base(reference, CUDA, DTYPES["bfloat16"])
    for kind in KINDS:
        with report.part(f"{reference} {kind}, {rows} rows of {length}") as found:
            torch.cuda.reset_peak_memory_stats(CUDA)
            method, notes = method_on(base, kind), Notes()
            plan = random_plan(
                steps=2,
                rows_per_step=rows,
                max_length=length,
                supervised=length // 4,
                vocabulary=base.vocabulary,
            )
            protocol = ProtocolOptions(epochs=1, micro_batch_size=rows, grad_accum_steps=1)
            training = Training(
                base=base,
                method=method,
                slots=slots_of(method, slots),
                plan=plan,
                protocol=protocol,
            )
            trainer = training.trainer(notes)
            candidates = training.candidates()
            trainer.run(candidates)
            peak = int(torch.cuda.max_memory_reserved(CUDA))
            found["peak_reserved_bytes"], found["notes"] = peak, notes.notes
            found["rows"] = trainer.micro_batch_size
            found["says"] = (
                f"{training.slots} slots trained with {found['rows']} of {rows} rows, "
                f"peak {peak / 2**30:.2f} GiB of {share * total / 2**30:.1f}"
            )
            states = {candidate.state for candidate in candidates}
            assert states == {RunState.COMPLETE}, f"candidates ended as {states}"
            assert peak <= share * total, "more was taken than the cut card has"
    with report.part(f"{reference} generation, {2 * rows} rows") as found, torch.no_grad():
        draw = np.random.default_rng(SEED)
        prompts = [
            draw.integers(1, base.vocabulary - 1, length // 2).astype(np.int32)
            for _ in range(2 * rows)
        ]
        options = GenerationOptions(max_new_tokens=8, batch_rows=2 * rows, no_repeat_ngram=0)
        with Cohort(base, [], 1) as cohort:
            written = generate(cohort, [0], prompts, options)[0]
        peak = int(torch.cuda.max_memory_reserved(CUDA))
        found["peak_reserved_bytes"] = peak
        found["says"] = f"{len(written)} rows written, peak {peak / 2**30:.2f} GiB"
