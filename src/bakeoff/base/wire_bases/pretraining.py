"""Trains a member of the family on wire's articles, never on highlights.

All of it follows from the seed and the number of threads: the same processor gives the same file.
The folder is written whole at the end, or every few minutes, so that an interrupted run leaves a
usable base behind.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoMLP, GPTNeoSelfAttention

from bakeoff.base.wire_bases.shapes import ROW_TOKENS, TOKENS_PER_PARAMETER, Shape
from bakeoff.data.wire import generate

# Axes: B rows, T tokens.
END: Final = "<|endoftext|>"
VOCABULARY: Final = 2048
POSITIONS: Final = 512
WINDOW: Final = 256
TOKENIZER_ARTICLES: Final = 6_000
HELD_OUT_ARTICLES: Final = 400
SEED: Final = 2026

CARD: Final = """---
license: apache-2.0
language: en
pipeline_tag: text-generation
library_name: transformers
---

# {name}

A GPT-Neo of {parameters:,} parameters ({layers} layers alternating between global and local
attention, width {width}, {heads} heads, {vocabulary:,} byte-level BPE tokens, tied embeddings,
{positions} positions), for demos and tests that must run offline on a CPU. It writes invented
newsroom prose; it knows nothing about the world and is of no other use.

## How it was made

    {command}

| | |
| --- | --- |
| data | `bakeoff.data.wire`, split `pretrain`, seeds from {seed}: articles alone, once each |
| tokenizer | the first {tokenizer_articles:,} of these articles; all members have the same |
| rows | {row_tokens} tokens, articles packed and separated by `{end}`, {rows} rows per step |
| steps | {steps:,} |
| tokens | {tokens:,}, {share:.2f} per parameter |
| optimiser | AdamW, peak rate {learning_rate:g}, linear warm-up, cosine decay, weight decay 0.1 |
| training loss | {train_loss:.4f} nats per token, mean of the last steps |
| held-out loss | {held_out:.4f} nats per token on {held_out_articles} `validation` articles |
| seed | {seed}, {threads} threads |
| weights | SHA-256 {digest} |
| stored as | float16; `from_pretrained` loads it as float32 |

All people, places and companies in its data are invented. Licence: Apache-2.0.
"""


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


def build_model(shape: Shape) -> GPTNeoForCausalLM:
    """A fresh model; the special token has id 0."""
    config = GPTNeoConfig(
        vocab_size=VOCABULARY,
        hidden_size=shape.width,
        num_layers=shape.layers,
        num_heads=shape.heads,
        attention_types=[[["global", "local"], shape.layers // 2]],
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


def progress(steps: int | None, minutes: float | None) -> Callable[[int], float]:
    """How far training is, from 0 to 1: by steps if given, else by the clock."""
    start = time.monotonic()
    if steps is not None:
        return lambda step: step / steps
    seconds = 60.0 * (minutes or 0.0)
    return lambda step: (time.monotonic() - start) / max(seconds, 1e-9)


def pretrain(
    name: str,
    shape: Shape,
    folder: Path,
    *,
    command: str,
    steps: int | None = None,
    minutes: float | None = None,
    save_minutes: float = math.inf,
    threads: int = 1,
    report: Callable[[str], None] = print,
) -> float:
    """Trains a member and writes it with its card.

    Args:
        name: of the member. shape: its own. folder: where it goes. command: for the card.
        steps: how many; None takes six tokens per parameter, unless ``minutes`` ends it.
        minutes: of training, by the clock. save_minutes: between checkpoints.
        threads: of PyTorch. report: called with how it goes.

    Returns:
        The loss on held-out articles in nats per token, of the file that was written.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(threads)
    stream = articles(SEED)
    tokenizer = train_tokenizer([next(stream) for _ in range(TOKENIZER_ARTICLES)])
    model = build_model(shape)
    num_parameters = sum(p.numel() for p in model.parameters())
    if steps is None and minutes is None:
        steps = round(TOKENS_PER_PARAMETER * num_parameters / (shape.rows * ROW_TOKENS))
    speed_up(model)
    batches = packed(tokenizer, articles(SEED), shape.rows)
    optimizer = optimizer_for(model, shape.learning_rate)
    done = progress(steps, minutes)
    start = last_save = time.monotonic()
    recent: list[float] = []
    step = 0
    while (share := done(step)) < 1:
        warm_up = min(1.0, (step + 1) / 100)
        rate = shape.learning_rate * warm_up * (0.03 + 0.97 * (1 + math.cos(math.pi * share)) / 2)
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
            pace = step * shape.rows * ROW_TOKENS / (time.monotonic() - start)
            mean = sum(recent) / len(recent)
            report(f"{share:4.0%} step {step} loss {mean:.3f} {pace:.0f} tokens/s")
        if time.monotonic() - last_save > 60 * save_minutes:
            save(folder, model, tokenizer)
            report(f"saved; held-out loss {held_out_loss(model, tokenizer):.4f}")
            last_save = time.monotonic()
    save(folder, model, tokenizer)
    # Measured on what ships, float16 rounding included.
    held_out = held_out_loss(GPTNeoForCausalLM.from_pretrained(folder), tokenizer)
    tokens = step * shape.rows * ROW_TOKENS
    card = CARD.format(
        name=name,
        parameters=num_parameters,
        layers=shape.layers,
        width=shape.width,
        heads=shape.heads,
        vocabulary=VOCABULARY,
        positions=POSITIONS,
        command=command,
        seed=SEED,
        threads=threads,
        tokenizer_articles=TOKENIZER_ARTICLES,
        row_tokens=ROW_TOKENS,
        end=END,
        rows=shape.rows,
        steps=step,
        tokens=tokens,
        share=tokens / num_parameters,
        learning_rate=shape.learning_rate,
        train_loss=sum(recent) / len(recent),
        held_out=held_out,
        held_out_articles=HELD_OUT_ARTICLES,
        digest=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
    report(f"done: {step} steps, held-out loss {held_out:.4f}")
    return held_out
