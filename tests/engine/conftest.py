"""Tiny random bases beside their untouched Transformers twins, random examples, short builders."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import (
    GPT2Config,
    GPTNeoConfig,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from bakeoff.base.model import Base
from bakeoff.base.weights.scratch import BYTE_VOCABULARY_SIZE, byte_tokenizer, scratch_model
from bakeoff.base.weights.sources import Source
from bakeoff.data.batches import BatchPlan
from bakeoff.engine.batch_source import BatchSource, TokenSource
from bakeoff.engine.candidate import Candidate
from bakeoff.engine.options import ProtocolOptions
from bakeoff.engine.train import Trainer
from bakeoff.methods.contract import Method, Tensors
from bakeoff.methods.registry import method_type
from tests.plans import joined

Kind = Literal["gpt_neo", "llama", "gpt2", "opt"]
END_ID = BYTE_VOCABULARY_SIZE - 1
WINDOW = 16
WEIGHT_SPREAD = 0.1
MODEL_SEED = 41
DATA_SEED = 43
CPU = torch.device("cpu")


def config_of(kind: Kind, *, tied: bool) -> PreTrainedConfig:
    """GPT-Neo with a short local window, Llama with grouped-query attention, GPT-2, or OPT."""
    if kind == "gpt_neo":
        config: PreTrainedConfig = GPTNeoConfig(
            vocab_size=BYTE_VOCABULARY_SIZE,
            max_position_embeddings=128,
            hidden_size=32,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            window_size=WINDOW,
            resid_dropout=0.0,
            embed_dropout=0.0,
            attention_dropout=0.0,
            tie_word_embeddings=tied,
        )
    elif kind == "llama":
        config = LlamaConfig(
            vocab_size=BYTE_VOCABULARY_SIZE,
            max_position_embeddings=128,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
        )
    elif kind == "gpt2":
        config = GPT2Config(
            vocab_size=BYTE_VOCABULARY_SIZE,
            n_positions=128,
            n_embd=32,
            n_layer=2,
            n_head=4,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            tie_word_embeddings=tied,
        )
    else:
        config = OPTConfig(
            vocab_size=BYTE_VOCABULARY_SIZE,
            max_position_embeddings=128,
            hidden_size=32,
            word_embed_proj_dim=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            dropout=0.0,
            attention_dropout=0.0,
            tie_word_embeddings=tied,
        )
    config.bos_token_id = config.eos_token_id = config.pad_token_id = END_ID
    return config


@dataclass(kw_only=True)
class Bench:
    """A base, and the same model as Transformers made it, which nothing of ours touches."""

    base: Base
    pristine: PreTrainedModel

    @classmethod
    def of(
        cls,
        kind: Kind,
        *,
        tied: bool = True,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
        num_layers: int | None = None,
    ) -> Bench:
        config = config_of(kind, tied=tied)
        if num_layers is not None:
            config.num_hidden_layers = num_layers
        model = scratch_model(config, MODEL_SEED)
        generator = torch.Generator().manual_seed(MODEL_SEED)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                # Norms stay near one; all else is drawn wide, so that logits are far from equal.
                centre = 1.0 if "norm" in name or "ln_" in name else 0.0
                centre = 0.0 if name.endswith("bias") else centre
                drawn = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(centre + WEIGHT_SPREAD * drawn)
        pristine = copy.deepcopy(model)
        source = Source(
            reference=f"test:{kind}",
            model=model,
            tokenizer=byte_tokenizer(128),
            fingerprint="none",
            description="random",
        )
        return cls(base=Base(source, device=device, dtype=dtype), pristine=pristine)

    def reference(self) -> PreTrainedModel:
        """A fresh copy of the model as Transformers made it."""
        return copy.deepcopy(self.pristine)

    def method(self, kind: str, **options: Any) -> Method:
        chosen = method_type(kind, where="methods.test")
        return chosen(chosen.options_type(**options), self.base, where="methods.test")

    def untouched(self) -> bool:
        """Whether the base still has the very weights that it was made with."""
        ours = dict(self.base.model.named_parameters(remove_duplicate=False))
        theirs = dict(self.pristine.named_parameters(remove_duplicate=False))
        return ours.keys() == theirs.keys() and all(
            torch.equal(ours[name], tensor) for name, tensor in theirs.items()
        )


def perturbed(method: Method, seed: int, spread: float = 0.05) -> Tensors:
    """A candidate's tensors as after some training: the initial ones with noise on each."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: tensor + spread * torch.randn(tensor.shape, generator=generator)
        for name, tensor in method.initial(generator).items()
    }


def random_rows(
    num_rows: int, lengths: tuple[int, int], draw: np.random.Generator
) -> list[NDArray[np.int32]]:
    """Rows of random ids below the end token, of random lengths, both ends included."""
    return [
        draw.integers(0, END_ID, size=draw.integers(lengths[0], lengths[1] + 1), dtype=np.int32)
        for _ in range(num_rows)
    ]


def make_plan(
    num_examples: int,
    *,
    rows_per_step: int = 8,
    max_length: int = 40,
    prompt: tuple[int, int] = (4, 26),
    completion: tuple[int, int] = (2, 12),
    seed: int = DATA_SEED,
) -> BatchPlan:
    """Ragged random examples; completions end with the end token."""
    draw = np.random.default_rng(seed)
    completions = [
        np.append(row[:-1], np.int32(END_ID)) for row in random_rows(num_examples, completion, draw)
    ]
    return BatchPlan(
        *joined(random_rows(num_examples, prompt, draw), completions),
        rows_per_step=rows_per_step,
        max_length=max_length,
        pad_id=END_ID,
    )


def candidate_of(
    method: Method, learning_rate: float, *, seed: int = 0, id: str = "candidate"
) -> Candidate:
    return Candidate(id=id, method_name=id, method=method, learning_rate=learning_rate, seed=seed)


@dataclass
class Recorder:
    """An observer that keeps all it is told.

    Attributes:
        step_nlls: by candidate, each update's training NLL a token.
        step_rates: by candidate, each update's learning rate.
        ended: candidates in the order in which they ended.
    """

    step_nlls: dict[str, list[float]] = field(default_factory=dict)
    step_rates: dict[str, list[float]] = field(default_factory=dict)
    epochs: list[tuple[str, int]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def on_step(
        self,
        seated: Sequence[Candidate | None],
        step: int,
        num_steps: int,
        train_nll: Sequence[float],
        rates: Sequence[float],
    ) -> None:
        for candidate, nll, rate in zip(seated, train_nll, rates, strict=True):
            if candidate is not None:
                self.step_nlls.setdefault(candidate.id, []).append(nll)
                self.step_rates.setdefault(candidate.id, []).append(rate)

    def on_epoch(self, candidate: Candidate) -> None:
        self.epochs.append((candidate.id, candidate.epochs[-1].epoch))

    def on_pause(self, candidate: Candidate) -> None:
        self.paused.append(candidate.id)

    def on_end(self, candidate: Candidate) -> None:
        self.ended.append(candidate.id)

    def on_note(self, note: str) -> None:
        self.notes.append(note)


def run_cohort(
    base: Base,
    candidates: Sequence[Candidate],
    num_slots: int,
    train: BatchPlan,
    validation: BatchPlan,
    protocol: ProtocolOptions,
    *,
    batch_source: BatchSource | None = None,
    observer: Recorder | None = None,
) -> Recorder:
    """Trains candidates through one cohort."""
    observer = observer or Recorder()
    batch_source = batch_source or TokenSource(base.device)
    Trainer(base, batch_source, train, validation, protocol, observer, num_slots).run(candidates)
    return observer


def relative_gap(actual: Tensor, expected: Tensor) -> float:
    """The norm of the difference over the norm of what was expected."""
    return float((actual - expected).norm() / expected.norm().clamp(min=1e-12))


@dataclass(frozen=True)
class Kit:
    """What the tests of this folder build with: importlib mode lets no test import a neighbour."""

    bench: Callable[..., Bench] = Bench.of
    plan: Callable[..., BatchPlan] = make_plan
    rows: Callable[..., list[NDArray[np.int32]]] = random_rows
    candidate: Callable[..., Candidate] = candidate_of
    perturbed: Callable[..., Tensors] = perturbed
    recorder: Callable[[], Recorder] = Recorder
    run: Callable[..., Recorder] = run_cohort
    gap: Callable[[Tensor, Tensor], float] = relative_gap


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Matrices this small are faster on one thread, and busy machines do not slow them down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory only seems to run out here; a full collection would take most of those tests' time."""
    monkeypatch.setattr("bakeoff.memory.gc.collect", lambda *_: 0)
