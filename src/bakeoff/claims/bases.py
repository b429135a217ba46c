"""What designs ask of a base, read from its shapes; its weights are not loaded."""

from __future__ import annotations

from pathlib import Path

from bakeoff.base.injection import linear_layers
from bakeoff.base.weights.sources import load_source
from bakeoff.base.wire_bases.shapes import ROW_TOKENS, is_member
from bakeoff.claims.contract import BaseFacts
from bakeoff.files import cache_folder


def facts_of(reference: str) -> BaseFacts:
    """A base's shape.

    Raises:
        BaseModelError: it is not here, or is no causal language model.
    """
    source = load_source(reference, root=Path.cwd(), cache_dir=cache_folder(), lean=True)
    model = source.model
    config = model.config.get_text_config()
    layers = linear_layers(model, head=model.get_output_embeddings())
    return BaseFacts(
        reference=reference,
        parameters=int(model.num_parameters()),
        width=int(config.hidden_size),
        positions=getattr(config, "max_position_embeddings", None),
        linears={name: _shape(layer) for name, layer in layers.items()},
        fingerprint=source.fingerprint,
        learnt=ROW_TOKENS if is_member(reference, Path.cwd()) else None,
    )


def _shape(layer: object) -> tuple[int, int]:
    weight = layer.weight.shape  # type: ignore[attr-defined]
    # A Conv1D, as GPT-2 has it, keeps its weight the other way round; the sum is what counts.
    return int(weight[1]), int(weight[0])
