"""``Trainer`` of Transformers and of TRL as rivals: same model, batches, updates, their loop."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator
from transformers.trainer_callback import PrinterCallback

from engines.measuring import Engine, SkippedError
from engines.memory import synchronize
from engines.rivals import CLIP_NORM, WEIGHT_DECAY
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


class _Ordered:
    """Of a trainer: takes the rows as they come, so that all engines see the same batches."""

    train_dataset: Any

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(rows)


class _OrderedTrainer(_Ordered, Trainer):
    pass


class _Clock(TrainerCallback):
    """Notes when each update ends."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.ends: list[float] = []

    def on_step_end(self, *arguments: Any, **more: Any) -> None:
        synchronize(self.device)
        self.ends.append(time.perf_counter())


class TrainerLoop(Engine):
    """One candidate under ``Trainer``, with its own defaults wherever the work says nothing.

    Args:
        model: with what the method trains in it, on the work's device (``rivals.tuned``).
        work: what is learnt from.
        gradient_checkpointing: whether layers are computed again in the backward pass.
    """

    def __init__(
        self, model: nn.Module, work: Workload, *, gradient_checkpointing: bool = False
    ) -> None:
        super().__init__(work.device)
        self.work = work
        self.model = model
        self._validation: _Rows | None = None
        self._clock = _Clock(work.device)
        on_cpu = work.device.type == "cpu"
        options: dict[str, Any] = {
            "output_dir": self._open.enter_context(tempfile.TemporaryDirectory()),
            "per_device_train_batch_size": work.rows,
            "gradient_accumulation_steps": work.plan.rows_per_step // work.rows,
            "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "constant",
            "weight_decay": WEIGHT_DECAY,
            "max_grad_norm": CLIP_NORM,
            "bf16": work.dtype == torch.bfloat16,
            "fp16": work.dtype == torch.float16,
            "use_cpu": on_cpu,
            "dataloader_pin_memory": not on_cpu,
            # Only the first loss is asked for: reading it waits for the device.
            "logging_first_step": True,
            "logging_steps": 1_000_000,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            # Each row has what the model takes and no more; TRL would drop the mask.
            "remove_unused_columns": False,
            "gradient_checkpointing": gradient_checkpointing,
            "gradient_checkpointing_kwargs": {"use_reentrant": False},
        }
        self._trainer = self._trainer_of(options)
        self._trainer.add_callback(self._clock)
        # It prints what is logged among our lines.
        self._trainer.remove_callback(PrinterCallback)

    def _trainer_of(self, options: dict[str, Any]) -> Any:
        return _OrderedTrainer(model=self.model, args=TrainingArguments(**options))

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


class TrlLoop(TrainerLoop):
    """The same under TRL's ``SFTTrainer``, on rows that are tokens already.

    Args:
        model: see ``TrainerLoop``. work: likewise.
        tokenizer: of the base; TRL asks for one although there is nothing to tokenise.
        gradient_checkpointing: see ``TrainerLoop``.

    Raises:
        SkippedError: TRL or datasets are not installed.
    """

    def __init__(
        self,
        model: nn.Module,
        work: Workload,
        tokenizer: Any,
        *,
        gradient_checkpointing: bool = False,
    ) -> None:
        for package in ("trl", "datasets"):
            if importlib.util.find_spec(package) is None:
                raise SkippedError(f"{package} is not installed")
        self._tokenizer = tokenizer
        super().__init__(model, work, gradient_checkpointing=gradient_checkpointing)

    def _trainer_of(self, options: dict[str, Any]) -> Any:
        from datasets import Dataset as Rows
        from trl import SFTConfig, SFTTrainer

        class Ordered(_Ordered, SFTTrainer):  # type: ignore[misc]  # which has no types
            pass

        row = {"input_ids": [0, 1], "attention_mask": [1, 1], "labels": [-100, 1]}
        return Ordered(
            model=self.model,
            args=SFTConfig(
                max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, **options
            ),
            train_dataset=Rows.from_list([row]),  # replaced before each call of ``train``
            data_collator=default_data_collator,
            processing_class=self._tokenizer,
        )
