"""Trains a member of the family on wire's articles, never on highlights.

All of it follows from the seed, and on a CPU from the number of threads: the same processor, or the
same kind of GPU, gives the same file.
Where steps are counted, an interrupted training goes on from its last checkpoint, to the bit; by
the clock, the folder is written every few minutes and is a usable base each time.
"""

from __future__ import annotations

import importlib.resources
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast
from transformers.models.gpt_neo.modeling_gpt_neo import GPTNeoMLP, GPTNeoSelfAttention

from bakeoff.base.transfer import sent
from bakeoff.base.weights.references import TINY_REFERENCE
from bakeoff.base.wire_bases.card import Made, machine, write_card
from bakeoff.base.wire_bases.checkpoint import Standing, take_up, write_checkpoint
from bakeoff.base.wire_bases.shapes import ROW_TOKENS, TOKENS_PER_PARAMETER, Shape
from bakeoff.base.wire_bases.stream import Packed, articles
from bakeoff.data.wire import generate

# Axes: B rows, T tokens.
END: Final = "<|endoftext|>"
VOCABULARY: Final = 2048
POSITIONS: Final = 512
WINDOW: Final = 256
TOKENIZER_ARTICLES: Final = 6_000
HELD_OUT_ARTICLES: Final = 400
SEED: Final = 2026
_CPU: Final = torch.device("cpu")


def family_tokenizer() -> PreTrainedTokenizerFast:
    """The one of all members, which ships with ``tiny``."""
    place = importlib.resources.files("bakeoff.base") / TINY_REFERENCE
    found: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(str(place))
    return found


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Trains that one: a byte-level BPE with one special token that opens, ends and pads.

    Args:
        texts: the first ``TOKENIZER_ARTICLES`` articles.
    """
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


@torch.inference_mode()
def held_out_loss(model: GPTNeoForCausalLM, tokenizer: PreTrainedTokenizerFast) -> float:
    """Mean loss in nats per token over validation articles, packed as in training."""
    texts = [e.article for e in generate(HELD_OUT_ARTICLES, seed=SEED, split="validation")]
    stream = Packed(tokenizer, iter(texts + texts[:64]), 8)
    model.eval()
    num_batches = HELD_OUT_ARTICLES * 90 // (8 * ROW_TOKENS)
    losses: list[float] = []
    for _ in range(num_batches):
        ids_BT = stream.batch().to(model.device)
        losses.append(model(input_ids=ids_BT, labels=ids_BT).loss.item())
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


def rate_at(peak: float, step: int, share: float) -> float:
    """The learning rate: a hundred steps of warm-up, then a cosine to 3 % of the highest."""
    warm_up = min(1.0, (step + 1) / 100)
    return peak * warm_up * (0.03 + 0.97 * (1 + math.cos(math.pi * share)) / 2)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Inside, numbers below 1e-38 count as zero, in this thread and those that it begins.

    Attention that has learnt to look at few tokens leaves many of them, and a CPU takes a hundred
    times as long for each; they are too small to change a bit of what is learnt.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@contextmanager
def repeatable_kernels(device: torch.device) -> Iterator[None]:
    """Inside, a GPU multiplies in float32, and by kernels that give the same bits each time."""
    if device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with sdpa_kernel(SDPBackend.MATH):  # backward, the fused ones add in any order
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def updates(
    model: GPTNeoForCausalLM,
    optimizer: torch.optim.Optimizer,
    stream: Packed,
    learning_rate: float,
    done: Callable[[int], float],
    *,
    step: int = 0,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Trains, an update at a time, on the device that the model is on.

    Args:
        model: as ``speed_up`` left it.
        learning_rate: the highest. done: how far training is after a number of updates, from 0 to
            1, where it ends, after one at least. step: updates that were made before.

    Yields:
        How many updates were made, and the loss before the last one: a scalar on the device, since
        reading it would have the device waited for.
    """
    # Four axes, so that Transformers takes it as it is: making its own waits for a GPU. What
    # attends here reads none.
    no_mask = torch.zeros((1, 1, 1, 1), device=model.device)
    while (share := min(1.0, done(step))) < 1 or step == 0:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(learning_rate, step, share)
        ids_BT = sent(stream.batch(), model.device)
        found = model(input_ids=ids_BT, attention_mask=no_mask, labels=ids_BT, use_cache=False)
        loss = found.loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        yield step, loss.detach()


@flushed_denormals()
def pretrain(
    name: str,
    shape: Shape,
    folder: Path,
    *,
    command: str,
    steps: int | None = None,
    minutes: float | None = None,
    save_minutes: float = math.inf,
    checkpoint: Path | None = None,
    threads: int = 1,
    device: torch.device = _CPU,
    report: Callable[[str], None] = print,
    stop: Callable[[], BaseException | None] = lambda: None,
) -> float:
    """Trains a member and writes it with its card.

    Args:
        name: of the member. shape: its own. folder: where it goes. command: for the card.
        steps: how many; None takes six tokens per parameter, unless ``minutes`` ends it.
        minutes: of training, by the clock. save_minutes: between what is written on the way.
        checkpoint: the file to go on from, and to write on the way; the folder without one.
        threads: of PyTorch; on a GPU they change nothing. device: where it is trained.
        report: called with how it goes.
        stop: asked after every step; what it gives is raised, once the checkpoint is written.

    Returns:
        The loss on held-out articles in nats per token, of the file that was written.

    Raises:
        CheckpointError: the checkpoint is one of a training made otherwise.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(threads)
    tokenizer, model = family_tokenizer(), build_model(shape)
    num_parameters = sum(p.numel() for p in model.parameters())
    if steps is None and minutes is None:
        steps = round(TOKENS_PER_PARAMETER * num_parameters / (shape.rows * ROW_TOKENS))
    speed_up(model)
    torch.nn.Module.to(model, device)
    optimizer = optimizer_for(model, shape.learning_rate)
    key: dict[str, Any] = {**vars(shape), **machine(device), "steps": steps, "threads": threads}
    del key["shipped"]  # where it goes changes nothing of it
    if device.type == "cuda":
        key |= {"device": device.type, "threads": 1}
    found = None
    if checkpoint is not None and steps is not None:
        found = take_up(checkpoint, key, model, optimizer)
        if found is not None:
            report(f"goes on after step {found.step} of {steps}")
        elif checkpoint.exists():
            report(f"{checkpoint} is torn; begins again")
    begun = found or Standing(step=0, taken=0, held=[], recent=[])
    texts = articles(SEED, start=begun.taken)
    stream = Packed(tokenizer, texts, shape.rows, taken=begun.taken, held=begun.held)
    done = progress(steps, minutes)
    start = last_save = time.monotonic()
    recent, step = deque[float | torch.Tensor](begun.recent, maxlen=50), begun.step
    making = updates(model, optimizer, stream, shape.learning_rate, done, step=begun.step)
    with repeatable_kernels(device):
        for step, loss in making:
            recent.append(loss)
            if step % 50 == 0:
                mean = sum(map(float, recent)) / len(recent)
                made = (step - begun.step) * shape.rows * ROW_TOKENS
                pace = made / (time.monotonic() - start)
                share = min(1.0, done(step))
                report(f"{share:4.0%} step {step} loss {mean:.3f} {pace:.0f} tokens/s")
            asked = stop()
            if asked is not None or time.monotonic() - last_save > 60 * save_minutes:
                if checkpoint is not None and steps is not None:
                    losses = [float(one) for one in recent]
                    at = Standing(step=step, taken=stream.taken, held=stream.held, recent=losses)
                    write_checkpoint(checkpoint, key, model, optimizer, at)
                    report(f"kept step {step} of {steps}")
                else:
                    save(folder, model, tokenizer)
                    report(f"saved; held-out loss {held_out_loss(model, tokenizer):.4f}")
                last_save = time.monotonic()
            if asked is not None:
                raise asked
    save(folder, model, tokenizer)
    # Measured on what ships, float16 rounding included.
    held_out = held_out_loss(GPTNeoForCausalLM.from_pretrained(folder), tokenizer)
    made_of = Made(
        name=name,
        shape=shape,
        command=command,
        parameters=num_parameters,
        vocabulary=VOCABULARY,
        positions=POSITIONS,
        seed=SEED,
        threads=threads,
        row_tokens=ROW_TOKENS,
        steps=step,
        tokens=step * shape.rows * ROW_TOKENS,
        train_loss=sum(map(float, recent)) / len(recent),
        held_out=held_out,
        held_out_articles=HELD_OUT_ARTICLES,
    )
    digest = write_card(folder, made_of, machine(device))
    if checkpoint is not None and steps is not None:
        checkpoint.unlink(missing_ok=True)
    report(f"done: {step} steps, held-out loss {held_out:.4f}, SHA-256 {digest}")
    return held_out
