"""Makes the shipped base ``tiny``: a byte-level tokenizer and a small GPT-Neo trained on wire.

    python tools/pretrain_tiny.py --out src/bakeoff/base/tiny --minutes 25

It learns from articles alone, never from highlights. The folder is written every few minutes and
complete each time, so that an interrupted run leaves a usable base behind. Two CPU cores do.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

# Threads that spin while they wait make a busy machine four times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoMLP, GPTNeoSelfAttention

from bakeoff.data.wire import generate

# Axes: B rows, T tokens.
END: Final = "<|endoftext|>"
VOCABULARY: Final = 2048
WIDTH: Final = 128
LAYERS: Final = 4
HEADS: Final = 4
POSITIONS: Final = 512
WINDOW: Final = 256
ROW_TOKENS: Final = 256
TOKENIZER_ARTICLES: Final = 6_000
HELD_OUT_ARTICLES: Final = 400
SEED: Final = 2026

CARD: Final = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
library_name: transformers
---

# tiny

A GPT-Neo of {parameters:,} parameters ({layers} layers alternating between global and local
attention, width {width}, {heads} heads, {vocabulary:,} byte-level BPE tokens, tied embeddings,
{positions} positions), for demos and tests that must run offline on a CPU. It writes invented
newsroom prose; it knows nothing about the world and is of no other use.

## How it was made

    {command}

With `--minutes` the learning rate follows the clock; `--steps` with the number below comes close.

| | |
| --- | --- |
| data | `bakeoff.data.wire`, split `pretrain`, seeds from {seed}: articles alone, once each |
| tokenizer | trained on the first {tokenizer_articles:,} of these articles |
| rows | {row_tokens} tokens, articles packed and separated by `{end}`, {rows} rows per step |
| steps | {steps:,} |
| tokens | {tokens:,} |
| optimiser | AdamW, peak rate {learning_rate:g}, linear warm-up, cosine decay, weight decay 0.1 |
| training loss | {train_loss:.4f} nats per token, mean of the last steps |
| held-out loss | {held_out:.4f} nats per token on {held_out_articles} `validation` articles |
| stored as | float16; `from_pretrained` loads it as float32 |

All people, places and companies in its data are invented. Licence: Apache-2.0.
"""


def options() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("src/bakeoff/base/tiny"))
    parser.add_argument("--steps", type=int, help="number of steps; wins over --minutes")
    parser.add_argument("--minutes", type=float, default=25.0, help="training time, wall clock")
    parser.add_argument("--rows", type=int, default=4, help="rows of 256 tokens per step")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--save-minutes", type=float, default=4.0, help="time between checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def articles(seed: int, chunk: int = 2_000) -> Iterator[str]:
    """All pre-training articles, without end."""
    part = 0
    while True:
        # A seed a chunk: a list can only be written from its first example on.
        for example in generate(chunk, seed=seed + part, split="pretrain"):
            yield example.article
        part += 1


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE with one special token that opens, ends and pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=[END],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END,
        eos_token=END,
        pad_token=END,
        unk_token=END,
        model_max_length=POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def build_model() -> GPTNeoForCausalLM:
    """A fresh model; the special token has id 0."""
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        attention_types=[[["global", "local"], LAYERS // 2]],
        max_position_embeddings=POSITIONS,
        window_size=WINDOW,
        resid_dropout=0.0,
        embed_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    return GPTNeoForCausalLM(config)


def speed_up(model: GPTNeoForCausalLM) -> None:
    """Swaps in fused kernels for the same functions: several times faster on a CPU.

    Rows are no longer than the local window, so local attention equals global attention here.
    """

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: object = None
    ) -> tuple[torch.Tensor, None]:
        return functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=1.0
        ), None

    for module in model.modules():
        if isinstance(module, GPTNeoMLP):
            module.act = torch.nn.GELU("tanh")
        elif isinstance(module, GPTNeoSelfAttention):
            module._attn = attend  # type: ignore[method-assign]


def packed(
    tokenizer: PreTrainedTokenizerFast, texts: Iterator[str], rows: int
) -> Iterator[torch.Tensor]:
    """Articles end to end, cut into batches.

    Yields:
        [B, T] token ids.
    """
    held: list[int] = []
    needed = rows * ROW_TOKENS
    while True:
        while len(held) < needed:
            for ids in tokenizer([next(texts) for _ in range(64)])["input_ids"]:
                held.append(0)
                held.extend(ids)
        yield torch.tensor(held[:needed]).view(rows, ROW_TOKENS)
        del held[:needed]


@torch.inference_mode()
def held_out_loss(model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast) -> float:
    """Mean loss in nats per token over validation articles, packed as in training."""
    texts = [e.article for e in generate(HELD_OUT_ARTICLES, seed=SEED, split="validation")]
    stream = packed(tokenizer, iter(texts + texts[:64]), 8)
    model.eval()
    num_batches = HELD_OUT_ARTICLES * 90 // (8 * ROW_TOKENS)
    losses: list[float] = [
        model(input_ids=ids_BT, labels=ids_BT).loss.item()
        for ids_BT, _ in zip(stream, range(num_batches), strict=False)
    ]
    model.train()
    return sum(losses) / len(losses)


def save(folder: Path, model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Writes the folder that ships, weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.config.architectures = ["GPTNeoForCausalLM"]
    model.config.dtype = torch.float32  # what a plain from_pretrained computes in
    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tensors = {
        name: value.half().contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight" and value.is_floating_point()
    }
    # Readers of the folder never see a torn file.
    torn = folder / "model.safetensors.new"
    save_file(tensors, torn, metadata={"format": "pt"})
    torn.chmod(0o644)
    torn.replace(folder / "model.safetensors")


def optimizer_for(model: GPTNeoForCausalLM, learning_rate: float) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=learning_rate,
        betas=(0.9, 0.98),
    )


def progress(steps: int | None, minutes: float) -> Callable[[int], float]:
    """How far training is, from 0 to 1: by steps if given, else by the clock."""
    start = time.monotonic()
    if steps is not None:
        return lambda step: step / steps
    return lambda step: (time.monotonic() - start) / (60 * minutes)


def main() -> None:
    """Trains and writes the base."""
    args = options()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    stream = articles(SEED)
    tokenizer = train_tokenizer([next(stream) for _ in range(TOKENIZER_ARTICLES)])
    model = build_model()
    speed_up(model)
    batches = packed(tokenizer, articles(SEED), args.rows)
    optimizer = optimizer_for(model, args.learning_rate)
    done = progress(args.steps, args.minutes)
    start = last_save = time.monotonic()
    recent: list[float] = []
    step = 0
    while (share := done(step)) < 1:
        warm_up = min(1.0, (step + 1) / 100)
        rate = args.learning_rate * warm_up * (0.03 + 0.97 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids_BT = next(batches)
        loss = model(input_ids=ids_BT, labels=ids_BT, use_cache=False).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        recent = [*recent[-49:], loss.item()]
        if step % 50 == 0:
            pace = step * args.rows * ROW_TOKENS / (time.monotonic() - start)
            mean = sum(recent) / len(recent)
            print(f"{share:4.0%} step {step} loss {mean:.3f} {pace:.0f} tokens/s", flush=True)
        if time.monotonic() - last_save > 60 * args.save_minutes:
            save(args.out, model, tokenizer)
            print(f"saved; held-out loss {held_out_loss(model, tokenizer):.4f}", flush=True)
            last_save = time.monotonic()
    save(args.out, model, tokenizer)
    # Measured on what ships, float16 rounding included.
    shipped = GPTNeoForCausalLM.from_pretrained(args.out)
    held_out = held_out_loss(shipped, tokenizer)
    length = f"--minutes {args.minutes:g}" if args.steps is None else f"--steps {args.steps}"
    card = CARD.format(
        parameters=sum(p.numel() for p in model.parameters()),
        layers=LAYERS,
        width=WIDTH,
        heads=HEADS,
        vocabulary=VOCABULARY,
        positions=POSITIONS,
        command=f"python tools/pretrain_tiny.py {length} --rows {args.rows} "
        f"--learning-rate {args.learning_rate:g}",
        seed=SEED,
        tokenizer_articles=TOKENIZER_ARTICLES,
        row_tokens=ROW_TOKENS,
        end=END,
        rows=args.rows,
        steps=step,
        tokens=step * args.rows * ROW_TOKENS,
        learning_rate=args.learning_rate,
        train_loss=sum(recent) / len(recent),
        held_out=held_out,
        held_out_articles=HELD_OUT_ARTICLES,
    )
    (args.out / "README.md").write_text(card, encoding="utf-8")
    print(f"done: {step} steps, held-out loss {held_out:.4f}", flush=True)


if __name__ == "__main__":
    main()
