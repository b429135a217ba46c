"""Examples with choices, and what a plain loop over Transformers' or PEFT's models says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import PeftModel
from torch import nn

from bakeoff.engine.cohort import Cohort
from bakeoff.methods.contract import Method, Tensors

if TYPE_CHECKING:
    from tests.engine.conftest import Bench, Kit

Ids = NDArray[np.int32]
Floats = NDArray[np.float64]
Examples = tuple[list[Ids], list[list[Ids]]]

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("lora", {"rank": 3, "target_modules": "all-linear"}),
    ("dora", {"rank": 2}),
    ("soft_prompt", {"prompt_length": 5}),
    ("p_tuning", {"prompt_length": 3, "hidden": 8}),
    ("prefix", {"prefix_length": 4}),
    ("prefix", {"prefix_length": 7, "projection": True, "hidden": 6}),
    ("bottleneck", {"variant": "houlsby", "size": 4, "activation": "gelu"}),
    ("bottleneck", {"size": 6}),
    ("bottleneck", {"size": 3, "placement": "parallel", "scale": 4.0}),
    ("ia3", {}),
    ("bitfit", {"norms": True}),
]
"""Of the shared base; two kinds have two forms."""
PEFT_FILES = ("lora", "dora", "ia3", "soft_prompt", "p_tuning", "prefix", "peft")


def method_id(entry: tuple[str, dict[str, Any]]) -> str:
    kind, options = entry
    return "-".join([kind, *(str(v) for v in options.values() if isinstance(v, (str, bool)))])


def examples_of(kit: Kit, number: int = 7, seed: int = 3, longest: int = 40) -> Examples:
    """Prompts from one token to beyond the windows, with one to four choices of odd lengths."""
    draw = np.random.default_rng(seed)
    prompts = kit.rows(number, (1, longest), draw)
    choices = [kit.rows(int(draw.integers(1, 5)), (1, 7), draw) for _ in prompts]
    return prompts, choices


def seated(bench: Bench, pairs: Sequence[tuple[Method, Tensors]]) -> Cohort:
    cohort = Cohort(bench.base, [method for method, _ in pairs], max(1, len(pairs)))
    for slot, (method, tensors) in enumerate(pairs):
        cohort.seat(slot, method, tensors)
    return cohort


def plain_model(bench: Bench, method: Method, tensors: Tensors, folder: Path) -> Any:
    """Transformers' model with a candidate: PEFT's around it, or its weights replaced."""
    model: Any = bench.reference()
    if method.kind in PEFT_FILES:
        method.save(method.stored(tensors), folder)
        return PeftModel.from_pretrained(model, str(folder)).eval()
    base = bench.base
    head_weight, embedding_weight = f"{base.head_name}.weight", f"{base.embedding_name}.weight"
    weights = method.merged_weights(tensors)
    with torch.no_grad():
        for name, weight in weights.items():
            if base.is_tied and name == head_weight and embedding_weight not in weights:
                model.get_output_embeddings().weight = nn.Parameter(weight)
            else:
                model.get_parameter(name).copy_(weight)
    return model.eval()


@torch.no_grad()
def plain_nlls(
    model: Any, prompts: Sequence[Ids], choices: Sequence[Sequence[Ids]]
) -> list[Floats]:
    """Each choice after its prompt, one row at a time."""
    found = []
    for prompt, of_example in zip(prompts, choices, strict=True):
        nlls = []
        for choice in of_example:
            ids = torch.from_numpy(np.concatenate([prompt, choice])).long()[None]
            # PEFT's models give the positions of a soft prompt as well.
            logits_TV = model(input_ids=ids).logits[0, -ids.shape[1] :].float()
            shares_nV = logits_TV[len(prompt) - 1 : -1].log_softmax(dim=-1)
            nlls.append(-shares_nV.gather(1, torch.from_numpy(choice).long()[:, None]).sum().item())
        found.append(np.array(nlls))
    return found


def largest_gap(ours: Sequence[Floats], theirs: Sequence[Floats]) -> float:
    """The largest absolute difference; the shapes must agree."""
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
