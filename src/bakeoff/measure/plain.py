"""The same method in a plain loop of Transformers and PEFT, for people who train it there.

The base is as Transformers loads it, in the study's precision; the adapter is PEFT's own, with its
defaults (float32 beside a base in half precision); logits are of all positions, and the loss is the
model's own. The batches, the clipping and the optimizer are the study's.

Axis letters: ``B`` rows, ``T`` tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.base.quantized.library import use_bitsandbytes
from bakeoff.data.batches import BatchPlan, MicroBatch, Step
from bakeoff.engine.workbench import Workbench
from bakeoff.measure.timing import Budget, from_part, rate, seconds_of, spread, within
from bakeoff.methods.contract import Method
from bakeoff.methods.files import PEFT_CONFIG, PEFT_WEIGHTS
from bakeoff.methods.specs.contract import FileFormat
from bakeoff.types import Quantization

_LEARNING_RATE: Final = 1e-6
_NO_LABEL: Final = -100
_WARM_ROWS: Final = 2
_UPDATES: Final = 2


def why_not_plain(method: Method, adapter: Path | None) -> str | None:
    """Why a method has no plain loop; None where it has one."""
    if method.file_format is not FileFormat.PEFT:
        return "PEFT does not know this method"
    if adapter is None or not (adapter / PEFT_CONFIG).is_file():
        return "no trained adapter was left"
    return None


class PlainBase:
    """The base as Transformers loads it, around which PEFT is put while a method is timed.

    Args:
        load: gives the model as loaded, on the CPU in float32.
        device: where it goes. dtype: what its weights are held in.
        quantization: of its linear layers, which are bitsandbytes' own then.
    """

    def __init__(
        self,
        load: Callable[[], PreTrainedModel],
        device: torch.device,
        dtype: torch.dtype,
        quantization: Quantization = "none",
    ) -> None:
        self._load = load
        self._quantization = quantization
        self._device, self._dtype = device, dtype
        self._model: PreTrainedModel | None = None

    @contextmanager
    def tuned(self, adapter: Path) -> Iterator[nn.Module]:
        """The base with an adapter that was written in PEFT's files, ready to be trained further.

        Raises:
            Exception: whatever PEFT has against it.
        """
        from peft import PeftConfig, get_peft_model, set_peft_model_state_dict
        from safetensors.torch import load_file

        if self._model is None:
            model = self._load().requires_grad_(False)
            nn.Module.to(model, self._device, self._dtype)
            use_bitsandbytes(model, self._quantization)
            self._model = model
        config = PeftConfig.from_pretrained(str(adapter))
        config.inference_mode = False
        if hasattr(config, "init_lora_weights"):
            # The tensors are read below; a start from the base's own weights would change those.
            config.init_lora_weights = True
        model, self._model = self._model, None
        tuned = get_peft_model(model, config)
        set_peft_model_state_dict(tuned, load_file(adapter / PEFT_WEIGHTS))
        yield tuned
        # Where PEFT cannot take its layers out, or something failed, the base is loaded again.
        if config.is_prompt_learning:
            self._model = model
        elif hasattr(tuned.base_model, "unload"):
            self._model = tuned.unload()
            self._model.requires_grad_(False)


def time_plain_epoch(
    bench: Workbench, model: nn.Module, rows: int, budget: Budget, *, start: float = 0.0
) -> float:
    """Seconds per epoch of a tuned model in a plain loop, validation included, from a sample.

    Args:
        bench: the study's data and protocol. model: of ``PlainBase.tuned``.
        rows: of a micro-batch. budget: seconds that the sample may take.
        start: where in the epoch, in 0..1, the sample begins.
    """
    protocol, device = bench.protocol, bench.base.device
    train, validation = bench.plans["train"], bench.plans["validation"]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=_LEARNING_RATE, betas=protocol.betas, weight_decay=protocol.decay_of(0.0)
    )

    def loss(plan: BatchPlan, batch: MicroBatch) -> Tensor:
        found: Tensor = model(**labelled(plan, batch, device)).loss
        return found

    def micro_batch(step: Step) -> None:
        # The step's other rectangles are empty: it was cut to one.
        loss(train, train.micro_batches(step, rows)[0]).backward()

    def update() -> None:
        if protocol.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(trained, protocol.max_grad_norm)
        optimizer.step()

    model.train()
    steps = from_part(train.epoch(protocol.seed_list[0], 0), start)
    short = [Step(examples=s.examples[:rows], width=s.width) for s in steps]
    micro_batch(Step(examples=short[0].examples[:_WARM_ROWS], width=short[0].width))
    updating = min(seconds_of(device, update) for _ in range(_UPDATES))
    samples = within(
        budget.train,
        ((seconds_of(device, micro_batch, s), len(s.examples) * s.width) for s in short),
    )
    training = rate(samples) * train.tokens_padded + updating * train.num_steps
    model.eval()
    batches = from_part(spread(list(validation.in_length_order(rows))), start)
    total = sum(batch.input_ids.size for batch in batches)
    with torch.no_grad():
        samples = within(
            budget.evaluation,
            ((seconds_of(device, loss, validation, b), b.input_ids.size) for b in batches),
        )
    return training + rate(samples) * total


def labelled(plan: BatchPlan, batch: MicroBatch, device: torch.device) -> dict[str, Any]:
    """A batch as Transformers takes it: tokens, mask and labels, each [B, T].

    Rows that are all padding are left out.
    """
    ids_BT = torch.from_numpy(batch.input_ids)
    labels_BT = torch.full_like(ids_BT, _NO_LABEL)
    # The source of a target is the position before it.
    labels_BT.view(-1)[torch.from_numpy(batch.source) + 1] = torch.from_numpy(batch.targets)
    present = batch.examples[batch.examples >= 0]
    lengths = np.diff(plan.tokens.offsets)[present]
    mask_BT = torch.arange(ids_BT.shape[1])[None] < torch.from_numpy(lengths)[:, None]
    count = len(present)
    return {
        "input_ids": ids_BT[:count].to(device),
        "attention_mask": mask_BT.long().to(device),
        "labels": labels_BT[:count].to(device),
    }
