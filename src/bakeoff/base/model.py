"""The frozen base: a Transformers decoder, prepared once for many slots."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from bakeoff.base.attention.decoding import DecodingState
from bakeoff.base.attention.fused import know_card
from bakeoff.base.attention.interface import (
    ATTENTION_NAME,
    decoding,
    register_attention,
)
from bakeoff.base.attention.windows import prepare_windows
from bakeoff.base.choice import BaseChoice
from bakeoff.base.decoder import decoder_of, layers_of, most_positions
from bakeoff.base.experts import ExpertsSite, expert_layers
from bakeoff.base.finite import check_finite
from bakeoff.base.injection import LinearSite, NormSite, Site, expect_rows, linear_layers
from bakeoff.base.installation import silent_sites, sites_in
from bakeoff.base.masters import SourceParameters, prepare_model
from bakeoff.base.norms import norm_layers
from bakeoff.base.outputs import capped, logit_cap, logit_scale
from bakeoff.base.quantized.models import copied, quantized_copy, to_device
from bakeoff.base.refusals import require_attention
from bakeoff.base.sharding import shard_layers
from bakeoff.base.shared_inputs import forget_shared
from bakeoff.base.upcast import computing_in_float32
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError
from bakeoff.types import Quantization

_PROBE_TOLERANCE = 1e-3
_PROBE_LENGTH = 8
_PROBE_PADDING = 2
_META = torch.device("meta")


class Base(SourceParameters):
    """A causal language model whose weights stay as they are.

    Axis letters: ``B`` rows, ``T`` tokens, ``D`` width, ``V`` vocabulary.

    Attributes:
        model: the whole Transformers model, in ``compute_dtype`` on ``device``; its linear layers
            are packed where they are quantised.
        choice: which of a study's held bases it is.
        decoder: the part that maps embeddings to normed hidden states.
        embedding: the input embedding. head: the output layer, without bias or with.
        is_tied: whether head and embedding share one weight.
        config: of the decoder, which a multimodal model's is a part of.
        logit_scale: factor on the logits, which ``hidden_states`` has in it.
        logit_cap: soft cap of the logits, which ``logits`` has in it; None means none.
        is_compiled: whether the layers run as compiled code.
    """

    is_compiled = False
    _slotted_sites: tuple[LinearSite | NormSite, ...] = ()  # that are installed

    def __init__(
        self,
        source: Source,
        *,
        device: torch.device,
        dtype: torch.dtype,
        quantization: Quantization = "none",
        probe: bool = True,
    ) -> None:
        """Prepares ``source`` and checks that it still computes Transformers' logits.

        Args:
            source: where its weights come from. device: where they go.
            dtype: what it computes in, and holds what is not quantised in.
            quantization: of its linear layers, without the head.
            probe: whether the check is made; without it nothing is computed.

        Raises:
            BaseModelError: if the architecture does something that the engine would miss.
            ConfigError: if bitsandbytes is needed and not installed.
        """
        self.source = source
        self.choice = BaseChoice(quantization=quantization)
        self._captures = [True]  # one for the base and all its copies
        self.device = device
        self.compute_dtype = dtype
        register_attention()
        require_attention(source.model, source.reference)
        # Asked of the model, which may have been prepared before.
        given: Any = source.model
        given.attention_as_loaded = getattr(
            given, "attention_as_loaded", given.config._attn_implementation
        )
        self._own_attention: str = given.attention_as_loaded
        if source.weights is None:
            model = self._held_of(source.model, probe=probe)
        else:
            model = source.weights.hold(device, dtype, quantization)
            prepare_model(source.model)
            expected = None
            if probe:
                with computing_in_float32(model):
                    expected = self._finite_logits(model)
            prepare_model(model)
            self._adopt(model)
            if probe:
                with computing_in_float32(model):
                    self._check(expected)
        self._adopt(model)
        know_card(device)
        prepare_windows(self.config, device, dtype)

    @classmethod
    def of_shapes(cls, other: Base, quantization: Quantization) -> Base:
        """The shapes of a base, held in another way; nothing of its weights is read or copied."""
        model = copied(other.source.model, _META, torch.float32)
        source = replace(other.source, model=model, weights=None)
        base = cls(
            source,
            device=torch.device("cpu"),
            dtype=torch.float32,
            quantization=quantization,
            probe=False,
        )
        base._captures = other._captures
        # Where they are read as they are held, no float32 original stays beside them.
        base.source = replace(source, weights=other.source.weights)
        return base

    def _held_of(self, original: PreTrainedModel, *, probe: bool) -> PreTrainedModel:
        """The model to hold, of one whose float32 weights are in memory and stay there."""
        device, dtype, quantization = self.device, self.compute_dtype, self.choice.quantization
        expected = self._finite_logits(original) if probe else None
        prepare_model(original)
        if probe:
            self._adopt(original)
            self._check(expected)
        if device.type == "cpu" and dtype == torch.float32 and quantization == "none":
            return original
        # The float32 original stays on the CPU: full tuning starts from it, not from a rounded
        # copy.
        if quantization == "none":
            return to_device(copy.deepcopy(original), device, dtype)
        place = device if _matrix(original.get_input_embeddings()).device.type == "cpu" else _META
        return quantized_copy(original, place, dtype, quantization)

    def _finite_logits(self, model: PreTrainedModel) -> Tensor:
        """The logits of Transformers; an error where the base gives NaN by itself."""
        run = partial(_reference_logits, model)
        logits = run()
        check_finite(self.source.reference, model, run, "a few tokens", found=logits)
        return logits

    def _adopt(self, model: PreTrainedModel) -> None:
        self.model = model
        inner = decoder_of(model)
        head = model.get_output_embeddings()
        embedding = model.get_input_embeddings()
        if (
            inner is None
            or not isinstance(head, nn.Linear)
            or not isinstance(embedding, nn.Embedding)
        ):
            raise BaseModelError(
                f"{self.source.reference}: {type(model).__name__} has no decoder with a linear "
                "head that can be told apart; choose a causal language model"
            )
        self.decoder = inner
        self.head = head
        self.embedding = embedding
        self.is_tied = head.weight is embedding.weight
        self.config: PreTrainedConfig = model.config.get_text_config()
        self.logit_scale = logit_scale(self.config)
        self.logit_cap = logit_cap(self.config)

    def _check(self, expected: Tensor | None) -> None:
        assert expected is not None
        where = f"{self.source.reference}: bakeoff's path through {type(self.model).__name__}"
        ids = _probe_ids(self.model)
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        try:
            with torch.no_grad():
                whole = self.hidden_states(self.embedding(ids), positions)
                hidden = {"in one pass": whole, "token by token": self._continued(ids)}
                gaps = {
                    way: (self.logits(x) - expected).abs().max().item() for way, x in hidden.items()
                }
        except BaseModelError as error:
            raise BaseModelError(f"{self.source.reference}: {error}") from None
        except Exception as error:  # whatever a model does without the mask that it expects
            raise BaseModelError(
                f"{where} fails ({type(error).__name__}: {error}). Choose another base"
            ) from error
        for way, gap in gaps.items():
            if not gap <= _PROBE_TOLERANCE * max(1.0, expected.abs().max().item()):
                raise BaseModelError(
                    f"{where}, {way}, gives other logits than Transformers' own (largest gap "
                    f"{gap:.3g}); the model scales, caps, masks or remembers in a way that is not "
                    "supported. Choose another base"
                )

    def _continued(self, ids_BT: Tensor) -> Tensor:
        """Hidden states, [B, T, D], as in generation: padding on the left, then token by token."""
        padded = torch.cat([ids_BT[:, :_PROBE_PADDING], ids_BT], dim=1)
        num_positions = padded.shape[1]
        device = ids_BT.device
        positions_BT = torch.arange(num_positions, device=device)[None] - _PROBE_PADDING
        positions_BT = positions_BT.clamp(min=0)
        embeds_BTD = self.embedding(padded)
        half = num_positions // 2
        parts = []
        num_padding_B = torch.full(ids_BT.shape[:1], _PROBE_PADDING, device=device)
        with decoding(DecodingState(num_padding_B, num_positions)) as state:
            for start, stop in [(0, half), *((t, t + 1) for t in range(half, num_positions))]:
                parts.append(
                    self.hidden_states(embeds_BTD[:, start:stop], positions_BT[:, start:stop])
                )
                state.advance(stop - start)
        return torch.cat(parts, dim=1)[:, _PROBE_PADDING:]

    @property
    def may_capture(self) -> bool:
        """Whether steps through it, or through a copy of it, may be captured in graphs on a GPU."""
        return self._captures[0]

    @may_capture.setter
    def may_capture(self, value: bool) -> None:
        self._captures[0] = value

    @property
    def has_values(self) -> bool:
        """Whether its weights are numbers, and not shapes alone."""
        return self.device.type != "meta"

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The base's tokenizer."""
        return self.source.tokenizer

    @property
    def head_name(self) -> str:
        """The head's full name in the model."""
        return self._name_of(self.head)

    @property
    def embedding_name(self) -> str:
        """The input embedding's full name in the model."""
        return self._name_of(self.embedding)

    def _name_of(self, module: nn.Module) -> str:
        return str(next(name for name, found in self.model.named_modules() if found is module))

    @property
    def model_type(self) -> str:
        """Transformers' name of the architecture, such as ``gpt_neo``."""
        return str(self.model.config.model_type)

    @property
    def num_bytes(self) -> int:
        """Bytes of its weights as it holds them; those in few bits are buffers."""
        held = (*self.model.parameters(), *self.model.buffers())
        return sum(tensor.nbytes for tensor in held)

    @property
    def width(self) -> int:
        """D, the width of the hidden states that the head reads."""
        return self.head.in_features

    @property
    def embedding_width(self) -> int:
        """The width of the input embedding (not always that of the hidden states)."""
        return self.embedding.embedding_dim

    @property
    def vocabulary(self) -> int:
        """V, rows of the head."""
        return self.head.out_features

    def unembedded(self, ids: Sequence[int] | NDArray[np.int32]) -> str | None:
        """What is wrong with tokens that the embedding has no row for; None where all have one.

        Tokenizers may have special tokens of what the text model does not read, such as images.
        """
        rows, largest = self.embedding.num_embeddings, int(np.max(ids, initial=0))
        if largest < rows:
            return None
        spelt = self.tokenizer.convert_ids_to_tokens(largest)
        return f"the token {spelt!r} ({largest}) is none of the {rows:,} that the base embeds"

    @property
    def max_positions(self) -> int | None:
        """The most positions that the model's configuration allows, or None if it names none."""
        return most_positions(self.config)

    @property
    def decoder_name(self) -> str:
        """The decoder's full name in the model."""
        return self._name_of(self.decoder)

    def linear_layers(self) -> dict[str, nn.Module]:
        """The decoder's linear layers by full name, in order, except the head."""
        return self._inside(linear_layers(self.model, head=self.head))

    def norm_layers(self) -> dict[str, nn.Module]:
        """The decoder's norms with a weight of their own, by full name, in order."""
        return self._inside(norm_layers(self.model))

    def expert_layers(self) -> dict[str, nn.Module]:
        """The decoder's layers whose experts' weights are one tensor, by full name, in order."""
        return self._inside(expert_layers(self.model))

    def _inside(self, found: dict[str, nn.Module]) -> dict[str, nn.Module]:
        start = f"{self.decoder_name}."
        return {name: layer for name, layer in found.items() if name.startswith(start)}

    def logits(self, hidden_BTD: Tensor) -> Tensor:
        """[..., V] float32 logits of what ``hidden_states`` gives."""
        return capped(self.head(hidden_BTD).float(), self.logit_cap)

    def hidden_states(self, embeds_BTD: Tensor, positions_BT: Tensor) -> Tensor:
        """Normed hidden states, [B, T, D], of embedded tokens at ``positions_BT``."""
        if self.is_compiled:
            embeds_BTD = _as_between_layers(embeds_BTD)
            expect_rows(self._slotted_sites, len(embeds_BTD))
        try:
            output: Any = self.decoder(
                inputs_embeds=embeds_BTD,
                position_ids=positions_BT,
                attention_mask=None,
                use_cache=False,
            )
        except BaseException:
            forget_shared()
            raise
        hidden: Tensor = output.last_hidden_state
        return hidden if self.logit_scale == 1.0 else hidden * self.logit_scale

    @contextmanager
    def sites(self, names: Sequence[str], num_slots: int) -> Iterator[dict[str, Site]]:
        """Turns the named layers into sites for as long as the context lasts."""
        before = self._slotted_sites
        with sites_in(self.model, names, num_slots) as installed:
            slotted = [s for s in installed.values() if not isinstance(s, ExpertsSite)]
            self._slotted_sites = (*before, *slotted)
            try:
                yield installed
            finally:
                self._slotted_sites = before

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Silences whatever hooks are installed, so that passes inside are the base's own."""
        with silent_sites(self.model):
            yield

    def shard(self, device: torch.device) -> None:
        """Shares its layers out among the processes of a run, and moves it to this one's device.

        Args:
            device: where this process computes.

        Raises:
            BaseModelError: its layers cannot be told apart.
        """
        if self.model is self.source.model:  # which stays whole
            self._adopt(copy.deepcopy(self.model))
        shard_layers(self.model, self.decoder, layers_of(self.decoder, self.config), device)
        self.device = device
        self.is_sharded, self.may_capture = True, False
        know_card(device)
        prepare_windows(self.config, device, self.compute_dtype)

    def private_copy(
        self, change: Callable[[PreTrainedModel], nn.Module] | None = None
    ) -> tuple[Base, nn.Module]:
        """A float32 copy on the device whose weights may be trained; the base stays frozen.

        Quantised layers stay quantised.

        Args:
            change: alters the copy's modules on the CPU, before it is taken into use, and returns
                the model or a module around it.

        Returns:
            The copy, and what ``change`` returned; the copy's model without it.

        Raises:
            BaseModelError: if head or embedding are something else after the change, or something
                is changed in a sharded base.
        """
        twin = copy.copy(self)
        if self.is_sharded:
            return self._sharded_copy(twin, change)
        model = self._float32_copy()
        outer = model if change is None else change(model)
        nn.Module.to(outer, device=self.device, dtype=torch.float32)
        twin._adopt(model)
        return twin, outer

    def _sharded_copy(
        self, twin: Base, change: Callable[[PreTrainedModel], nn.Module] | None
    ) -> tuple[Base, nn.Module]:
        if change is not None:
            raise BaseModelError(
                f"{self.source.reference}: a method that changes a copy of the base is not shared "
                "out among processes; start one process, without torchrun"
            )
        model = self._float32_copy()
        nn.Module.to(model, dtype=torch.float32)
        twin._adopt(model)
        twin.shard(self.device)
        return twin, model

    @contextmanager
    def transformers_attention(self, name: str | None = None) -> Iterator[PreTrainedModel]:
        """The model with Transformers' own attention and cache, for its ``generate``.

        How the makers would have it generate is left out: ``generate`` fills in from there whatever
        it is not given, such as a penalty of repetitions, which no other way of writing has.

        Args:
            name: of a registered attention function that takes Transformers' masks; None means
                the one that the model came with.
        """
        config, of_makers = self.model.config, self.model.generation_config
        config._attn_implementation = name or self._own_attention
        self.model.generation_config = GenerationConfig()
        try:
            yield self.model
        finally:
            config._attn_implementation = ATTENTION_NAME
            self.model.generation_config = of_makers


def _as_between_layers(x_BTD: Tensor) -> Tensor:
    """The first layer's input as compiled code finds the input of every other layer.

    That is a result, which has a gradient in training, and no view: what a view is a view of has
    sizes and strides of its own, which compiled code asks after.
    """
    if torch.is_grad_enabled() and not x_BTD.requires_grad:
        x_BTD = x_BTD.detach().requires_grad_(True)
    return x_BTD.clone()


def _matrix(layer: object) -> Tensor:
    weight = getattr(layer, "weight", None)
    assert isinstance(weight, Tensor), "checked when the base was adopted"
    return weight


def _probe_ids(model: PreTrainedModel) -> Tensor:
    weight = _matrix(model.get_input_embeddings())
    ids_T = torch.arange(1, 1 + _PROBE_LENGTH, device=weight.device).remainder(weight.shape[0])
    return ids_T[None]


def _reference_logits(model: PreTrainedModel) -> Tensor:
    """Transformers' own logits, [1, T, V], of a short probe."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        logits: Tensor = model(input_ids=_probe_ids(model), use_cache=False).logits
    model.train(was_training)
    return logits.float()
