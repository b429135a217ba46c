"""What merging into 16 bits changes of a candidate that was trained over a quantised base."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from bakeoff.base.model import Base
from bakeoff.base.weights.sources import load_source
from bakeoff.engine.batch_source import TokenSource
from bakeoff.engine.cohort import Cohort
from bakeoff.engine.score import example_nlls, mean_nll
from bakeoff.engine.workbench import plan_of
from bakeoff.errors import BakeoffError
from bakeoff.files import cache_folder
from bakeoff.inference.finished import FinishedRun, Kept
from bakeoff.methods.contract import Method
from bakeoff.study.opening import prepare_data

MERGE_FILE: Final = "bakeoff_merge.json"
MERGED_FORMAT: Final = torch.bfloat16
"""Of weights that were unpacked for a merge."""


def merge_content(run: FinishedRun, kept: Kept, folder: Path) -> dict[str, Any]:
    """``bakeoff_merge.json``: the loss before and after, on the study's validation rows.

    Args:
        run: whose candidate it is. kept: the candidate, over a quantised base.
        folder: the merged checkpoint, written.

    Returns:
        ``base_quantization``, ``format``, ``validation_rows``, ``val_nll_before`` and
        ``val_nll_after`` in nats per token; where the rows are not to be had, ``not_measured``
        says why instead.
    """
    method = kept.method
    base = method.base
    content: dict[str, Any] = {
        "base_quantization": base.quantization,
        "format": str(MERGED_FORMAT).removeprefix("torch."),
    }
    try:
        data = prepare_data(run.study, base, {"merged": {"": method}})
    except BakeoffError as error:
        return {**content, "not_measured": f"the validation rows cannot be read: {error}"}
    rows, protocol = data.splits["validation"], run.study.options.protocol
    plan = plan_of(rows, run.task.max_length, run.task, base, protocol)

    def loss(of: Base, seated: Method | None) -> float:
        with Cohort(of, [] if seated is None else [seated], 1) as cohort, torch.no_grad():
            if seated is not None:
                cohort.seat(0, seated, kept.load())
            return mean_nll(example_nlls(cohort, 0, TokenSource(of.device), plan), plan)

    before = loss(base, method)
    place = folder.resolve()
    source = load_source(str(place), root=place, cache_dir=cache_folder(), lean=True)
    merged = Base(source, device=base.device, dtype=base.compute_dtype)
    return {
        **content,
        "validation_rows": len(rows),
        "val_nll_before": before,
        "val_nll_after": loss(merged, None),
    }
