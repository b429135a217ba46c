"""Takes over the layers of a model that would not go through our attention."""

from __future__ import annotations

from transformers import PreTrainedModel

from bakeoff.base.families import gpt_neo


def replace_layers(model: PreTrainedModel) -> None:
    """Replaces them in place; names and parameters stay. Other models stay as they are."""
    gpt_neo.replace_attention(model)
    # Their code is loaded only where a base is of one of these families.
    kind = str(model.config.get_text_config().model_type)
    for module in list(model.modules()):
        if kind in ("gptj", "codegen"):
            from bakeoff.base.families import gptj

            gptj.take_over(module)
        elif kind in ("bloom", "falcon"):
            from bakeoff.base.families import alibi

            alibi.take_over(module)
        elif kind in ("lfm2", "lfm2_moe"):
            from bakeoff.base.families import short_conv

            short_conv.take_over(module)
        elif kind in ("phimoe", "qwen2_moe"):
            from bakeoff.base.families import mask_windows

            mask_windows.take_over(module)
