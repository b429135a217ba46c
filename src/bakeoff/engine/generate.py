"""Text from prompts: greedy by our own loop, every other strategy by Transformers' ``generate``.

In both paths ``no_repeat_ngram`` looks at generated tokens only. Transformers' own option looks at
the prompt as well and so forbids copying three words in a row from the document.

Axis letters: ``K`` slots, ``B`` rows of a slot, ``T`` prompt tokens, ``P`` soft prompt positions,
``G`` generated tokens, ``V`` vocabulary, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bakeoff.engine.cohort import Cohort
from bakeoff.engine.memory import is_out_of_memory, release_memory
from bakeoff.errors import ConfigError, OutOfMemoryError
from bakeoff.model.attention import DecodingState, decoding
from bakeoff.model.prefix import PrefixedDecodingState, lent

Prompts = Sequence[NDArray[np.int32]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class GenerationOptions:
    """One generation setting for all methods."""

    strategy: Literal["greedy", "beam", "sample"] = "greedy"
    """greedy, beam search, or sampling."""
    max_new_tokens: int = 64
    """The most tokens a summary may have."""
    no_repeat_ngram: int = 3
    """No sequence of this many generated tokens twice; 0 allows all."""
    num_beams: int = 4
    """Beams of the strategy ``beam``."""
    temperature: float = 1.0
    """Of the strategy ``sample``."""
    top_p: float = 1.0
    """Of the strategy ``sample``."""
    seed: int = 0
    """Of the strategy ``sample``."""
    batch_rows: int = 64
    """Rows of all slots together in one batch; halved when memory runs out."""

    def __post_init__(self) -> None:
        for key, lowest in (
            ("max_new_tokens", 1),
            ("no_repeat_ngram", 0),
            ("num_beams", 1),
            ("batch_rows", 1),
        ):
            if getattr(self, key) < lowest:
                raise ConfigError(
                    f"generation.{key}: {getattr(self, key)} is below {lowest}; give {lowest} or "
                    "more"
                )
        if not 0 < self.top_p <= 1 or self.temperature <= 0:
            raise ConfigError(
                "generation: top_p must be in (0, 1] and temperature above 0, not "
                f"{self.top_p} and {self.temperature}"
            )


@torch.no_grad()
def generate(
    cohort: Cohort,
    slots: Sequence[int],
    prompts: Prompts,
    options: GenerationOptions,
    progress: Progress | None = None,
) -> list[list[list[int]]]:
    """Continues every prompt under each of the slots' candidates.

    Args:
        cohort: an entered cohort.
        slots: whose candidates.
        prompts: token ids, without soft prompts.
        options: how.
        progress: told (prompts done, prompts in all) after each batch.

    Returns:
        For each slot, for each prompt, the generated ids without the end token.

    Raises:
        OutOfMemoryError: if not even one prompt a slot fits.
    """
    if options.strategy == "sample" and len(slots) > 1:
        # What is drawn must not depend on who else is there, so slots share no batch.
        alone = [generate(cohort, [slot], prompts, options, progress) for slot in slots]
        return [texts for [texts] in alone]
    order = np.argsort([len(p) for p in prompts], kind="stable")[::-1]
    results: list[list[list[int]]] = [[[] for _ in prompts] for _ in slots]
    rows = max(1, options.batch_rows // len(slots))
    done = 0
    with cohort.only(slots):
        while done < len(order):
            chosen = order[done : done + rows]
            try:
                torch.manual_seed(options.seed + done)
                batch = _generate_batch(cohort, [prompts[i] for i in chosen], options)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if rows == 1:
                    raise OutOfMemoryError(
                        "generation ran out of memory with one prompt a slot; lower "
                        "task.max_length or generation.max_new_tokens"
                    ) from error
                release_memory()
                rows = max(1, rows // 2)
                continue
            for by_prompt, generated in zip(results, batch, strict=True):
                for index, ids in zip(chosen, generated, strict=True):
                    by_prompt[int(index)] = ids
            done += len(chosen)
            if progress is not None:
                progress(done, len(order))
    return results


def _generate_batch(
    cohort: Cohort, prompts: Prompts, options: GenerationOptions
) -> list[list[list[int]]]:
    base = cohort.base
    end_id = base.tokenizer.eos_token_id
    longest = max(len(p) for p in prompts)
    ids = np.full((len(prompts), longest), end_id, dtype=np.int64)
    padding = np.zeros(len(prompts), dtype=np.int64)
    for row, prompt in enumerate(prompts):
        padding[row] = longest - len(prompt)
        ids[row, padding[row] :] = prompt
    x_KBTD, num_padding_KB = _left_padded(
        cohort, torch.from_numpy(ids).to(base.device), torch.from_numpy(padding).to(base.device)
    )
    num_slots, rows = num_padding_KB.shape
    if options.strategy == "greedy":
        with cohort.autocast():
            flat = _greedy(cohort, x_KBTD, num_padding_KB.flatten(), options)
    else:
        flat = _by_transformers(cohort, x_KBTD, num_padding_KB.flatten(), options)
    return [flat[slot * rows : (slot + 1) * rows] for slot in range(num_slots)]


def _left_padded(cohort: Cohort, ids_BT: Tensor, padding_B: Tensor) -> tuple[Tensor, Tensor]:
    """Embeds prompts for every slot, each soft prompt right before its row's first token.

    Returns:
        ([K, B, P + T, D], [K, B] how many of the first positions are padding).
    """
    num_slots = len(cohort.slots)
    x_KBTD = cohort.embed(ids_BT[None].expand(num_slots, *ids_BT.shape))
    num_padding_KB = padding_B[None].expand(num_slots, -1)
    prompt = cohort.prompts()
    if prompt is None:
        return x_KBTD, num_padding_KB
    vectors_KPD, lengths_K = prompt
    longest, num_tokens = vectors_KPD.shape[1], ids_BT.shape[1]
    both = torch.cat([vectors_KPD[:, None].expand(-1, len(ids_BT), -1, -1), x_KBTD], dim=2)
    # Position t of the joined row: padding, then the slot's prompt, then the row's tokens.
    first_KB = num_padding_KB + longest - lengths_K[:, None]
    t = torch.arange(longest + num_tokens, device=ids_BT.device)
    since_KBt = t - first_KB[..., None]
    in_prompt = (since_KBt >= 0) & (since_KBt < lengths_K[:, None, None])
    index = torch.where(in_prompt, since_KBt, t)
    return both.gather(2, index[..., None].expand_as(both)), first_KB


def _greedy(
    cohort: Cohort, x_KBTD: Tensor, num_padding_R: Tensor, options: GenerationOptions
) -> list[list[int]]:
    """The most likely token at each position, until the end token; rows of all slots together."""
    base = cohort.base
    num_slots, rows, num_prompt, _ = x_KBTD.shape
    total = num_slots * rows
    end_id = base.tokenizer.eos_token_id
    device = x_KBTD.device
    generated_RG = torch.full((total, options.max_new_tokens), end_id, device=device)
    finished_R = torch.zeros(total, dtype=torch.bool, device=device)
    position_R1 = (torch.arange(num_prompt, device=device)[None] - num_padding_R[:, None]).clamp(
        min=0
    )
    x_RTD = x_KBTD.flatten(0, 1)
    capacity = num_prompt + options.max_new_tokens
    prefix = cohort.prefix()
    before_R1: Tensor | int = 0
    if prefix is None:
        cache: DecodingState = DecodingState(num_padding_R, capacity)
    else:
        cache = PrefixedDecodingState(num_padding_R, capacity, prefix)
        before_R1 = prefix.lengths_K.repeat_interleave(rows)[:, None]
        position_R1 = position_R1 + before_R1
    with decoding(cache) as state:
        for step in range(options.max_new_tokens):
            hidden_RTD = base.hidden_states(x_RTD, position_R1)
            state.advance(x_RTD.shape[1])
            last_KBD = hidden_RTD[:, -1].view(num_slots, rows, -1)
            logits_RV = _head_logits(cohort, last_KBD)
            block_repeats(logits_RV, generated_RG[:, :step], options.no_repeat_ngram)
            next_R = logits_RV.argmax(dim=-1)
            next_R = torch.where(finished_R, end_id, next_R)
            generated_RG[:, step] = next_R
            finished_R |= next_R == end_id
            if step % 8 == 7 and bool(finished_R.all()):
                break
            x_KBTD = cohort.embed(next_R.view(num_slots, rows, 1))
            x_RTD = x_KBTD.flatten(0, 1)
            position_R1 = (num_prompt + step - num_padding_R)[:, None] + before_R1
    return _until_end(generated_RG, end_id)


def _head_logits(cohort: Cohort, hidden_KBD: Tensor) -> Tensor:
    """[K * B, V] float32."""
    weight, bias = cohort.head()
    if weight.dim() == 3:
        logits = torch.bmm(hidden_KBD, weight.to(hidden_KBD.dtype).transpose(1, 2))
    else:
        logits = F.linear(hidden_KBD, weight.to(hidden_KBD.dtype))
    logits = logits.float() if bias is None else logits.float() + bias.float()
    return logits.flatten(0, 1)


def block_repeats(logits_RV: Tensor, generated_RG: Tensor, size: int) -> None:
    """Forbids, in place, every token that would repeat a sequence of ``size`` generated tokens.

    Args:
        logits_RV: [R, V] of the next token.
        generated_RG: [R, G] what has been generated, without the prompt.
        size: length of the sequences; 0 forbids nothing, 1 every token seen before.
    """
    num_generated = generated_RG.shape[1]
    if size == 0 or num_generated < size:
        return
    windows_RWn = generated_RG.unfold(1, size, 1)
    if size == 1:
        repeats_RW = torch.ones_like(generated_RG, dtype=torch.bool)
    else:
        tail_R1n = generated_RG[:, None, num_generated - size + 1 :]
        repeats_RW = (windows_RWn[..., :-1] == tail_R1n).all(dim=-1)
    # Where nothing repeats, the add is of zero to token 0.
    tokens_RW = torch.where(repeats_RW, windows_RWn[..., -1], 0)
    penalty_RW = torch.where(repeats_RW, float("-inf"), 0.0)
    logits_RV.scatter_add_(1, tokens_RW, penalty_RW)


def _until_end(generated_RG: Tensor, end_id: int) -> list[list[int]]:
    rows: list[list[int]] = generated_RG.tolist()
    return [row[: row.index(end_id)] if end_id in row else row for row in rows]


def _by_transformers(
    cohort: Cohort, x_KBTD: Tensor, num_padding_R: Tensor, options: GenerationOptions
) -> list[list[int]]:
    """Beam search and sampling, one slot at a time: beams would break the rows' grouping."""
    base = cohort.base
    end_id = base.tokenizer.eos_token_id
    rows, num_prompt = x_KBTD.shape[1:3]
    settings: dict[str, Any] = {"num_beams": options.num_beams, "do_sample": False}
    if options.strategy == "sample":
        settings = {
            "do_sample": True,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": 0,
            "num_beams": 1,
        }
    columns = torch.arange(num_prompt, device=x_KBTD.device)
    results: list[list[int]] = []
    for index, slot in enumerate(list(cohort.slots)):
        padding_B = num_padding_R[index * rows : (index + 1) * rows]
        with cohort.only([slot]), _lent_head(cohort), lent(base, cohort.prefix()) as model:
            # With embeddings instead of ids, `generate` counts n-grams over new tokens alone.
            output = model.generate(  # type: ignore[operator]
                inputs_embeds=x_KBTD[index],
                attention_mask=(columns[None] >= padding_B[:, None]).long(),
                max_new_tokens=options.max_new_tokens,
                pad_token_id=end_id,
                eos_token_id=end_id,
                no_repeat_ngram_size=options.no_repeat_ngram,
                use_cache=True,
                **settings,
            )
        results += _until_end(output, end_id)
    return results


@contextmanager
def _lent_head(cohort: Cohort) -> Iterator[None]:
    """Lends the model one slot's head and embedding for as long as Transformers drives it."""
    base = cohort.base
    weight, _ = cohort.head()
    if weight.dim() != 3:
        yield
        return
    own = [s.embedding_weight(cohort.slots) for s in cohort.stacks.values()]
    head, embedding = base.head.weight, base.embedding.weight
    base.head.weight = nn.Parameter(weight[0].to(head.dtype), requires_grad=False)
    if any(w is not None for w in own):
        base.embedding.weight = base.head.weight
    try:
        yield
    finally:
        base.head.weight, base.embedding.weight = head, embedding
