"""Which card, driver and libraries there are, and which optional ones are missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess

import torch

from gpu.card import CUDA, require_card
from gpu.processes import Place
from gpu.records import Report, SkippedError

LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "optuna")
OPTIONAL = {
    "triton": "compiled layers need it",
    "liger_kernel": "the rival plain+liger is left out",
    "bitsandbytes": "quantised bases are not tried",
    "pytest": "the stages tests/* have nothing to run with",
    "scipy": "some of the tests need it",
}


def run(report: Report, place: Place) -> None:
    """See the module."""
    with report.part("libraries") as found:
        found["python"] = platform.python_version()
        found |= {name: importlib.metadata.version(name) for name in LIBRARIES}
        found["says"] = ", ".join(f"{n} {found[n]}" for n in ("python", *LIBRARIES))
    for name, loss in OPTIONAL.items():
        with report.part(name) as found:
            try:
                found["version"] = found["says"] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                raise SkippedError(f"not installed: {loss}") from None
    require_card()
    with report.part("card") as found:
        properties = torch.cuda.get_device_properties(CUDA)
        free, total = torch.cuda.mem_get_info(CUDA)
        found["name"] = properties.name
        found["capability"] = f"{properties.major}.{properties.minor}"
        found["multiprocessors"] = properties.multi_processor_count
        found["total_bytes"], found["free_bytes"] = total, free
        found["cuda"], found["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
        found["bfloat16"] = torch.cuda.is_bf16_supported()
        found["says"] = (
            f"{properties.name}, {properties.major}.{properties.minor}, {total / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} free; CUDA {torch.version.cuda}"
        )
    with report.part("driver") as found:
        found["says"] = found["query"] = _driver()
    with report.part("host") as found:
        found["cores"], found["threads"] = os.cpu_count(), torch.get_num_threads()
        found["allocator"] = os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")
        found["says"] = f"{found['cores']} cores, {found['threads']} threads"


def _driver() -> str:
    """Driver, clocks and power as the driver's own tool gives them."""
    fields = "driver_version,clocks.sm,clocks.mem,power.limit,temperature.gpu,mig.mode.current"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SkippedError(f"nvidia-smi does not answer: {type(error).__name__}") from None
    return " | ".join(found.stdout.split("\n")).strip(" |")
