"""Trains the run of this folder with PEFT and PyTorch alone: ``python train.py``.

Reads ``run.json``, ``train.jsonl``, ``steps.json`` and ``start/`` beside it; writes
``losses.jsonl`` and ``adapter/``. ``--steps N`` makes N updates.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

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


def batch_of(rows: list[dict[str, Any]], pad: int, device: torch.device) -> dict[str, Tensor]:
    """Rows padded on the right: tokens, mask and labels, each [rows, longest]."""
    width = max(len(row["input_ids"]) for row in rows)

    def filled(key: str, value: int) -> Tensor:
        lines = [row[key] + [value] * (width - len(row[key])) for row in rows]
        return torch.tensor(lines, device=device)

    mask = [[1] * len(r["input_ids"]) + [0] * (width - len(r["input_ids"])) for r in rows]
    return {
        "input_ids": filled("input_ids", pad),
        "attention_mask": torch.tensor(mask, device=device),
        "labels": filled("labels", NO_LABEL),
    }


def main() -> None:
    """Trains for the recorded number of updates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=None, help="updates, instead of the run's")
    parser.add_argument("--out", type=Path, default=HERE, help="where losses and adapter go")
    arguments = parser.parse_args()
    run = json.loads((HERE / "run.json").read_text(encoding="utf-8"))
    with (HERE / "train.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    updates = run["updates"] if arguments.steps is None else arguments.steps
    steps = json.loads((HERE / "steps.json").read_text(encoding="utf-8"))[:updates]

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    base: Any = AutoModelForCausalLM.from_pretrained(
        HERE / run["base"] if run["base_is_beside"] else run["base"],
        revision=run["revision"],
        dtype=getattr(torch, run["dtype"]),
        **quantized(run),
    )
    if run["quantization"] == "none":  # else it is there already
        base = base.to(device)
    model = PeftModel.from_pretrained(base, str(HERE / "start"), is_trainable=True)
    # The base stays as it is evaluated; what the adapter itself drops out is part of the method.
    model.eval()
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and "lora_dropout" in name:
            module.train()
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
    arguments.out.mkdir(parents=True, exist_ok=True)
    size = run["micro_batch_size"]
    with (arguments.out / "losses.jsonl").open("w", encoding="utf-8") as log:
        for number, step in enumerate(steps, start=1):
            chosen = [rows[index] for index in step]
            supervised = sum(label != NO_LABEL for row in chosen for label in row["labels"])
            total = 0.0
            for start in range(0, len(chosen), size):
                batch = batch_of(chosen[start : start + size], run["pad_id"], device)
                labels = batch.pop("labels")
                logits = model(**batch).logits[:, -labels.shape[1] :]  # without a prompt's own
                # Summed, and divided by the whole update's tokens, so that each counts alike.
                loss = nn.functional.cross_entropy(
                    logits[:, :-1].flatten(0, 1).float(),
                    labels[:, 1:].flatten(),
                    ignore_index=NO_LABEL,
                    reduction="sum",
                )
                loss = loss / supervised
                loss.backward()
                total += float(loss.detach())
            if run["max_grad_norm"] is not None:
                nn.utils.clip_grad_norm_([p for _, p in named], run["max_grad_norm"])
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            log.write(json.dumps({"step": number, "loss": total}) + "\n")
            print(f"step {number} of {len(steps)}: loss {total:.4f}", flush=True)
    model.save_pretrained(arguments.out / "adapter")


if __name__ == "__main__":
    main()
