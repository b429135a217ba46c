"""Writes what the library ``adapters`` computes and saves: tests/methods/test_adapters_files.py.

The library needs an older Transformers than bakeoff does, so it cannot be installed beside it. In
an environment of its own:

    python -m venv /tmp/golden && /tmp/golden/bin/pip install adapters==1.3.0 torch==2.13.0
    /tmp/golden/bin/python tools/golden_adapters.py tests/methods/golden/adapters

``--check DIR`` loads adapters that bakeoff wrote into the library instead, one folder a case beside
a ``logits.safetensors``, and prints the largest difference between the two's logits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

VOCABULARY, WIDTH = 31, 12
IDS = torch.arange(14).remainder(VOCABULARY).view(2, 7)


def model_of(architecture: str) -> Any:
    """A small model whose weights follow from their names' order alone."""
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

    common: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0}
    config: Any
    if architecture == "gpt2":
        config = GPT2Config(n_positions=16, n_embd=WIDTH, n_layer=2, n_head=3, **common)
    else:
        config = LlamaConfig(
            hidden_size=WIDTH,
            intermediate_size=20,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=16,
            tie_word_embeddings=False,
            **common,
        )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for index, (name, parameter) in enumerate(sorted(model.named_parameters())):
            wave = torch.sin(torch.arange(parameter.numel()) * 0.7 + index).view(parameter.shape)
            is_norm = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(0.3 * wave + float(is_norm))
    return model


def configs() -> dict[str, Any]:
    """The library's three arrangements."""
    from adapters import DoubleSeqBnConfig, ParBnConfig, SeqBnConfig

    return {
        "houlsby": DoubleSeqBnConfig(reduction_factor=4),
        "pfeiffer": SeqBnConfig(reduction_factor=3, leave_out=[0]),
        "parallel": ParBnConfig(reduction_factor=2, scaling=4.0),
    }


def write(folder: Path) -> None:
    """One folder a case: the library's files and its logits."""
    import adapters

    for architecture in ("gpt2", "llama"):
        for name, config in configs().items():
            model = model_of(architecture)
            adapters.init(model)
            model.add_adapter("golden", config=config)
            model.set_active_adapters("golden")
            tuned = [(n, p) for n, p in model.named_parameters() if ".adapters.golden." in n]
            with torch.no_grad():
                for index, (_, parameter) in enumerate(sorted(tuned)):
                    wave = torch.cos(torch.arange(parameter.numel()) * 1.3 + index)
                    parameter.copy_(0.2 * wave.view(parameter.shape))
                logits = model(input_ids=IDS).logits
            case = folder / f"{architecture}-{name}"
            case.mkdir(parents=True, exist_ok=True)
            model.save_adapter(str(case), "golden", use_safetensors=True, with_head=False)
            save_file({"logits": logits.contiguous()}, case / "logits.safetensors")


def check(folder: Path) -> None:
    """What the library computes with adapters that bakeoff wrote."""
    import adapters

    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        model = model_of(json.loads((case / "adapter_config.json").read_text())["model_type"])
        adapters.init(model)
        name = model.load_adapter(str(case), use_safetensors=True, set_active=True)
        with torch.no_grad():
            logits = model(input_ids=IDS).logits
        expected = load_file(case / "logits.safetensors")["logits"]
        print(f"{case.name} ({name}): {(logits - expected).abs().max().item():.2g}")


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    (check if arguments.check else write)(arguments.folder)


if __name__ == "__main__":
    main()
