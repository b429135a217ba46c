"""Trains the run of this folder with TRL's SFTTrainer: ``python train.py``.

Reads ``run.json``, ``train.jsonl``, ``steps.json`` and ``start/`` beside it; writes
``losses.jsonl`` and ``trained/``. ``--steps N`` ends after N updates. The rows are tokens with
labels already, in the order of the run.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from torch import nn
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

HERE = Path(__file__).resolve().parent
NO_LABEL = -100


def rate_factor(run: dict[str, Any], update: int) -> float:
    """The factor on the learning rate at an update, from 0."""
    updates, warmup = run["schedule_updates"], round(run["warmup_ratio"] * run["schedule_updates"])
    if update < warmup:
        return float((update + 1) / warmup)
    if run["schedule"] == "constant":
        return 1.0
    done: float = (update - warmup) / max(1, updates - warmup)
    return 1.0 - done if run["schedule"] == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def quantized(run: dict[str, Any]) -> dict[str, Any]:
    """How the base is loaded into 4 or 8 bits, where the run held it so."""
    if run["quantization"] == "none":
        return {}
    held: dict[str, Any] = {"load_in_8bit": True}
    if run["quantization"] != "int8":
        held = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": run["quantization"],
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": getattr(torch, run["dtype"]),
        }
    place = "cuda" if torch.cuda.is_available() else "cpu"
    config = BitsAndBytesConfig(llm_int8_skip_modules=run["not_quantized"], **held)
    return {"quantization_config": config, "device_map": {"": place}}


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows, and behind them one in which nothing is supervised."""

    def __init__(self, rows: list[dict[str, Any]], pad: int) -> None:
        nothing = {"input_ids": [pad, pad], "labels": [NO_LABEL, NO_LABEL]}
        self.rows = [*rows, nothing]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {key: self.rows[index][key] for key in ("input_ids", "labels")}


class Ordered(SFTTrainer):  # type: ignore[misc]  # which has no types
    """Trains on the recorded micro-batches of every update."""

    batches: list[list[int]]
    pad: int
    source: Rows

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The micro-batches in their order."""
        return DataLoader(self.source, batch_sampler=self.batches, collate_fn=self._collated)

    def _collated(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)

        def filled(found: list[list[int]], value: int) -> torch.Tensor:
            return torch.tensor([line + [value] * (width - len(line)) for line in found])

        ids = [row["input_ids"] for row in rows]
        return {
            "input_ids": filled(ids, self.pad),
            "attention_mask": filled([[1] * len(line) for line in ids], 0),
            "labels": filled([row["labels"] for row in rows], NO_LABEL),
        }


def micro_batches(step: list[int], size: int, number: int, nothing: int) -> list[list[int]]:
    """One update's rows as that many batches; a short update is filled with empty ones."""
    found = [step[start : start + size] for start in range(0, len(step), size)]
    return found + [[nothing]] * (number - len(found))


def main() -> None:
    """Trains for the recorded number of updates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=None, help="updates, instead of the run's")
    parser.add_argument("--out", type=Path, default=HERE, help="where losses and weights go")
    arguments = parser.parse_args()
    run = json.loads((HERE / "run.json").read_text(encoding="utf-8"))
    with (HERE / "train.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    updates = run["updates"] if arguments.steps is None else arguments.steps
    steps = json.loads((HERE / "steps.json").read_text(encoding="utf-8"))[:updates]
    size, number = run["micro_batch_size"], run["grad_accum_steps"]

    model: Any = AutoModelForCausalLM.from_pretrained(
        HERE / run["base"] if run["base_is_beside"] else run["base"],
        revision=run["revision"],
        dtype=getattr(torch, run["dtype"]),
        **quantized(run),
    )
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # the base stays as it is evaluated
    if (HERE / "start").is_dir():
        model = PeftModel.from_pretrained(model, str(HERE / "start"), is_trainable=True)
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rate = run["learning_rate"]
    adamw: Any = torch.optim.AdamW
    if run["optimizer_states"] == "8bit":
        from bitsandbytes.optim.adamw import AdamW8bit

        adamw = AdamW8bit
    optimizer = adamw(
        [
            {"params": [p for name, p in named if "lora_A" in name], "lr": rate},
            # LoRA+ has another rate here; the ratio is 1 elsewhere.
            {
                "params": [p for name, p in named if "lora_A" not in name],
                "lr": rate * run["loraplus_lr_ratio"],
            },
        ],
        betas=tuple(run["betas"]),
        eps=run["eps"],
        weight_decay=run["weight_decay"],
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: rate_factor(run, n))
    tokens = [{key: row[key] for key in ("input_ids", "labels")} for row in rows]
    trainer = Ordered(
        model=model,
        args=SFTConfig(
            output_dir=str(arguments.out / "trained"),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=number,
            learning_rate=run["learning_rate"],
            max_grad_norm=0.0 if run["max_grad_norm"] is None else run["max_grad_norm"],
            max_steps=len(steps),
            max_length=None,
            packing=False,
            shuffle_dataset=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            seed=run["seed"],
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(tokens),
        processing_class=AutoTokenizer.from_pretrained(HERE / "tokenizer"),
        optimizers=(optimizer, scheduler),
    )
    trainer.pad, trainer.source = run["pad_id"], Rows(tokens, run["pad_id"])
    trainer.batches = [
        batch for step in steps for batch in micro_batches(step, size, number, len(rows))
    ]
    trainer.train()
    losses = [entry for entry in trainer.state.log_history if "loss" in entry]
    with (arguments.out / "losses.jsonl").open("w", encoding="utf-8") as log:
        for entry in losses:
            log.write(json.dumps({"step": entry["step"], "loss": entry["loss"]}) + "\n")
    trainer.save_model()


if __name__ == "__main__":
    main()
