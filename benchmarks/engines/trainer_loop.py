"""Transformers' ``Trainer`` as a rival: the same model, batches and updates, by its own loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from bakeoff.methods.contract import Method, Tensors
from engines.measuring import Engine
from engines.memory import synchronize
from engines.rivals import CLIP_NORM, WEIGHT_DECAY, adopt, tuned_copy
from engines.workload import LEARNING_RATE, Labelled, Workload

Row = dict[str, Tensor]


class _Rows(Dataset[Row]):
    def __init__(self, batches: Iterable[Labelled]) -> None:
        self.rows = [
            {"input_ids": ids_T, "attention_mask": mask_T, "labels": labels_T}
            for batch in batches
            for ids_T, mask_T, labels_T in zip(
                batch.ids_BT.cpu(), batch.mask_BT.cpu(), batch.labels_BT.cpu(), strict=True
            )
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


class _InOrder(Trainer):
    """Takes the rows as they come, so that all engines see the same batches."""

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows)


class _Clock(TrainerCallback):
    """Notes when each update ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.ends: list[float] = []

    def on_step_end(self, *arguments: Any, **more: Any) -> None:
        synchronize(self.device)
        self.ends.append(time.perf_counter())


class TrainerLoop(Engine):
    """One candidate under ``Trainer``, with its own defaults wherever the study says nothing.

    Args:
        model: the base, copied. name: of the method.
        work: what is learnt from. start: the method on the engine's base, and its first tensors.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        name: str,
        work: Workload,
        start: tuple[Method, Tensors],
    ) -> None:
        super().__init__(work.device)
        self.work = work
        self.model = tuned_copy(model, name, work.device)
        adopt(self.model, *start)
        self._validation: _Rows | None = None
        self._clock = _Clock(work.device)
        on_cpu = work.device.type == "cpu"
        self._trainer = _InOrder(
            model=self.model,
            args=TrainingArguments(
                output_dir=self._open.enter_context(tempfile.TemporaryDirectory()),
                per_device_train_batch_size=work.rows,
                gradient_accumulation_steps=work.plan.rows_per_step // work.rows,
                learning_rate=LEARNING_RATE,
                lr_scheduler_type="constant",
                weight_decay=WEIGHT_DECAY,
                max_grad_norm=CLIP_NORM,
                bf16=work.dtype == torch.bfloat16,
                fp16=work.dtype == torch.float16,
                use_cpu=on_cpu,
                dataloader_pin_memory=not on_cpu,
                # Only the first loss is asked for: reading it waits for the device.
                logging_first_step=True,
                logging_steps=1_000_000,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            callbacks=[self._clock],
        )
        # It prints what is logged among our lines.
        self._trainer.remove_callback(PrinterCallback)

    def step(self, index: int) -> float:
        """One update from one call of ``train``; returns the mean NLL that it logs."""
        self._train([index])
        return float(self._trainer.state.log_history[0]["loss"])

    def seconds(self, indices: Iterable[int]) -> list[float]:
        """From update to update, what ``train`` does before the first one left out."""
        wanted = list(indices)
        self._train([wanted[0], *wanted])
        ends = self._clock.ends
        return [end - start for start, end in pairwise(ends)]

    def evaluate(self, rows: int) -> float:
        """Mean NLL over the validation examples, by ``Trainer.evaluate``."""
        self._trainer.args.per_device_eval_batch_size = rows
        if self._validation is None:
            # Made once: a user's data set is there already.
            self._validation = _Rows(self.work.labelled_validation(rows))
        found = self._trainer.evaluate(self._validation)
        return float(found["eval_loss"])

    def _train(self, indices: list[int]) -> None:
        self._clock.ends.clear()
        self._trainer.train_dataset = _Rows(b for i in indices for b in self.work.labelled(i))
        self._trainer.args.max_steps = len(indices)
        self._trainer.train()
