"""The stages in their order: what is cheap and what all else rests on comes first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from gpu.processes import Stage

ROOT = Path(__file__).resolve().parents[2]
GPU_TESTS = ROOT / "tests" / "engine" / "backends" / "test_gpu.py"

METHODS = (
    *("lora", "soft_prompt", "prefix", "full", "head", "dora", "bottleneck", "ia3", "bitfit"),
    *("p_tuning", "last_layers", "peft"),
)
"""Every kind of the registry, which a test holds; the most used first."""
TRAINED = (
    ("gpt-neo-125m", "lora", 1, 8.0),
    ("gpt-neo-125m", "lora", 8, 11.0),
    ("gpt-neo-125m", "lora-all", 8, 10.0),
    ("gpt-neo-125m", "soft_prompt", 8, None),
    ("gpt-neo-125m", "head", 1, 30.0),
    ("smollm2-135m", "lora", 1, 14.0),
    ("smollm2-135m", "lora", 8, 20.0),
)
"""Base, method, slots, and how many times as fast as the plain loop it is to be on an H100."""
WRITTEN = (("gpt-neo-125m", "none"), ("smollm2-135m", "none"), ("gpt-neo-125m", "lora"))
HELD = ("nf4", "none")
"""What the base of eight billion parameters is held in."""
PLANNED = ("lora", "full", "soft_prompt", "head")
FORMATS = ("float16", "float32")


def all_stages() -> list[Stage]:
    """Every stage of a campaign."""
    return [*_basics(), *_tests(), *_methods(), *_failures(), *_figures()]


def _basics() -> Iterator[Stage]:
    yield Stage(
        name="environment",
        question="which card, driver, libraries; which optional ones are missing",
        module="gpu.stages.environment",
        limit=60,
    )
    yield Stage(
        name="attention",
        question="which attention kernels run, and which is taken: format, mask, grouped heads",
        module="gpu.stages.attention",
        limit=60,
    )

    yield Stage(
        name="kernels",
        question="whether our own kernels compute what plain PyTorch computes, and how fast",
        module="gpu.stages.kernels",
        limit=90,
    )


def _tests() -> Iterator[Stage]:
    for name in gpu_tests(GPU_TESTS):
        yield Stage(
            name=f"tests/{name.removeprefix('test_')}",
            question=f"tests/engine/backends/test_gpu.py::{name}",
            module="gpu.stages.gpu_tests",
            limit=150,
            arguments={"name": name},
        )


def _methods() -> Iterator[Stage]:
    for kind in METHODS:
        yield Stage(
            name=f"updates/{kind}",
            question="20 updates: captured and compiled give the eager losses and never wait",
            module="gpu.stages.updates",
            limit=90,
            arguments={"kinds": (kind,), "precision": "bfloat16"},
        )


def _failures() -> Iterator[Stage]:
    yield Stage(
        name="resume",
        question="training that stops in mid-epoch and goes on ends where one without a stop does",
        module="gpu.stages.resume",
        limit=90,
    )
    yield Stage(
        name="out_of_memory",
        question="training whose memory runs out inside a capture ends where it would have ended",
        module="gpu.stages.out_of_memory",
        limit=60,
    )


def _figures() -> Iterator[Stage]:
    for base, method, slots, goal in TRAINED:
        yield Stage(
            name=f"training/{base}_{method}_{slots}_slots",
            question="tokens per second and memory against Transformers + PEFT, compiled and Liger",
            module="gpu.stages.training",
            limit=240,
            arguments={"base": base, "method": method, "slots": slots, "goal": goal},
        )
    for base, method in WRITTEN:
        yield Stage(
            name=f"generation/{base}_{method}",
            question="rows per second against Transformers' generate",
            module="gpu.stages.generation",
            limit=240,
            arguments={"base": base, "method": method},
        )
    for quantization in HELD:
        yield Stage(
            name=f"large/{quantization}",
            question="a base of eight billion beside TRL's loop and Trainer, 1 and 4 slots",
            module="gpu.stages.large",
            limit=480,
            arguments={"quantization": quantization},
        )
    for method in PLANNED:
        yield Stage(
            name=f"plan/{method}",
            question="planned against measured memory, seconds per epoch and latency",
            module="gpu.stages.plan",
            limit=120,
            arguments={"method": method},
        )
    yield Stage(
        name="study",
        question="a whole small study, its costs measured",
        module="gpu.stages.study",
        limit=150,
    )
    yield Stage(
        name="seed_study",
        question="studies/seed.yaml, whole, against the loops that a user would write",
        module="gpu.stages.seed_study",
        limit=480,
    )
    yield Stage(
        name="small_bases",
        question="small bases made on the card: equal bits, no waiting, the loss of a CPU's",
        module="gpu.stages.small_bases",
        limit=150,
    )
    yield Stage(
        name="profile",
        question="the kernels that an update spends its time in, eager and captured",
        module="gpu.stages.profile",
        limit=90,
    )
    for precision in FORMATS:
        yield Stage(
            name=f"formats/{precision}",
            question=f"the same updates in {precision}",
            module="gpu.stages.updates",
            limit=120,
            arguments={"kinds": ("lora", "full", "soft_prompt"), "precision": precision},
        )
    yield Stage(
        name="small_card",
        question="a card cut to 24 GB: what is seated fits, and what does not fit is halved",
        module="gpu.stages.small_card",
        limit=120,
    )


def gpu_tests(path: Path) -> list[str]:
    """The names of a file's tests, in order, without importing it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
