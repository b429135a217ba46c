"""The family of small bases: made again to the bit, gone on with, and shipped with true cards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bakeoff.base.weights.inventory import ListedBase, list_bases
from bakeoff.base.weights.sources import load_source
from bakeoff.base.wire_bases import pretraining
from bakeoff.base.wire_bases.card import _made_on, machine
from bakeoff.base.wire_bases.pretraining import build_model, pretrain, train_tokenizer
from bakeoff.base.wire_bases.shapes import (
    FAMILY,
    TOKENS_PER_PARAMETER,
    Shape,
    here,
    made_folder,
    member_folder,
)
from bakeoff.base.wire_bases.stream import Packed, articles
from bakeoff.base.wire_bases.unfinished import unfinished_file
from bakeoff.errors import BaseModelError, CheckpointError

CPU = torch.device("cpu")
SMALL = Shape(width=16, layers=2, heads=2, rows=2, learning_rate=1e-2)
SHIPPED = [name for name, shape in FAMILY.items() if shape.shipped]
TINY = Path(pretraining.__file__).parents[1] / "tiny"


def card_of(name: str) -> tuple[Path, str]:
    folder = member_folder(name, Path("nowhere"))
    assert folder is not None
    return folder, (folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Trains a small shape and gives the hash of its weights."""
    monkeypatch.setattr(pretraining, "HELD_OUT_ARTICLES", 32)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "set_num_threads", lambda number: threads)

    def made(name: str, *, steps: int | None = 6, report: object = None, **options: object) -> str:
        folder = tmp_path / name
        say = report or (lambda text: None)
        pretrain(name, SMALL, folder, command="-", steps=steps, report=say, **options)  # type: ignore[arg-type]
        return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()

    return made


def test_the_family_has_the_sizes_that_its_names_say() -> None:
    for name, shape in FAMILY.items():
        millions = float(name.removeprefix("wire-").removesuffix("m"))
        parameters = sum(p.numel() for p in build_model(shape).parameters())
        assert parameters == pytest.approx(1e6 * millions, rel=0.25), name


def test_the_same_steps_give_the_same_file_and_the_card_names_it(
    make: Callable[..., str], tmp_path: Path
) -> None:
    first = make("first")
    assert make("again") == first
    assert make("longer", steps=7) != first
    card = (tmp_path / "first" / "README.md").read_text(encoding="utf-8")
    assert f"SHA-256 {first}" in card
    assert "| steps | 6 |" in card and "| tokens | 3,072," in card


def test_a_card_says_what_the_bits_hang_on() -> None:
    of_cpu = {"torch": "2.0", "machine": "x86_64", "capability": "AVX2", "vendor": "Someone"}
    assert _made_on(of_cpu, 2) == "PyTorch 2.0, x86_64 of Someone (AVX2), 2 threads"
    assert set(machine(CPU)) == set(of_cpu) and all(machine(CPU).values())
    assert _made_on({"torch": "2.0", "capability": "NVIDIA H100"}, 1) == "PyTorch 2.0, NVIDIA H100"


def test_an_interrupted_training_goes_on_to_the_bit(
    make: Callable[..., str], tmp_path: Path
) -> None:
    whole, kept = make("whole"), tmp_path / "kept.unfinished"
    said: list[str] = []

    def stop(text: str) -> None:
        said.append(text)
        if text == "kept step 4 of 6":
            raise KeyboardInterrupt

    options = {"checkpoint": kept, "save_minutes": 0.0}
    with pytest.raises(KeyboardInterrupt):
        make("stopped", report=stop, **options)
    assert kept.is_file() and not (tmp_path / "stopped").exists()
    assert make("stopped", report=said.append, **options) == whole
    assert "goes on after step 4 of 6" in said
    assert "kept step 5 of 6" in said and said.count("kept step 4 of 6") == 1
    assert not kept.exists()


def test_what_is_asked_to_stop_keeps_its_last_step(
    make: Callable[..., str], tmp_path: Path
) -> None:
    whole, kept = make("whole"), tmp_path / "kept.unfinished"
    asked = iter([None, None, KeyboardInterrupt()])
    options = {"checkpoint": kept}  # nothing else is kept in so few steps
    with pytest.raises(KeyboardInterrupt):
        make("stopped", stop=lambda: next(asked), **options)
    said: list[str] = []
    assert make("stopped", report=said.append, **options) == whole
    assert said[0] == "goes on after step 3 of 6"


def test_numbers_too_small_to_count_cost_no_time_while_a_base_is_made(
    make: Callable[..., str],
) -> None:
    def product() -> float:
        return (torch.full((4,), 1e-30) * 1e-10).max().item()

    found: list[float] = []
    make("made", report=lambda text: found.append(product()))
    assert found and set(found) == {0.0}
    assert product() > 0.0


def stop_after_two(text: str) -> None:
    if text.startswith("kept step 2"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threads": 2}, "this call has --threads 2, and only one.* With --threads 1 it goes on"),
        ({"steps": 3}, "this call has --steps 3, and only one .* With --steps 6 it goes on"),
        (
            {"torch": "1.0", "threads": 3},
            "this call has PyTorch 1.0, --threads 3, .* With PyTorch [0-9.+a-z]+, --threads 1 it",
        ),
        (
            {"vendor": "Another"},
            "this call has a processor of Another, and only .* With a processor of [A-Z].* it goes",
        ),
    ],
    ids=["threads", "steps", "torch", "vendor"],
)
def test_nothing_of_a_training_made_otherwise_is_lost(
    changes: dict[str, Any],
    words: str,
    make: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, said = tmp_path / "kept.unfinished", list[str]()
    options: dict[str, Any] = {"checkpoint": kept, "save_minutes": 0.0}
    with pytest.raises(KeyboardInterrupt):
        make("a", report=stop_after_two, **options)
    before = kept.read_bytes()
    with monkeypatch.context() as other:
        here = machine(CPU)
        here |= {name: changes.pop(name) for name in ("torch", "vendor") if name in changes}
        other.setattr(pretraining, "machine", lambda device: here)
        with pytest.raises(CheckpointError, match=words) as refused:
            make("b", **options, **changes)
    assert f"{kept}: holds step 2 of 6 of a training made with --threads 1, PyTorch" in str(
        refused.value
    )
    assert "delete the file to begin again" in str(refused.value)
    assert kept.read_bytes() == before
    # The one that it was goes on, and nothing is left.
    make("a", report=said.append, **options)
    assert "goes on after step 2 of 6" in said and not kept.exists()


def test_a_checkpoint_that_names_no_vendor_goes_on(
    make: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions left it."""
    whole, kept = make("whole"), tmp_path / "kept.unfinished"
    earlier = {name: value for name, value in machine(CPU).items() if name != "vendor"}
    with monkeypatch.context() as other, pytest.raises(KeyboardInterrupt):
        other.setattr(pretraining, "machine", lambda device: earlier)
        make("a", report=stop_after_two, checkpoint=kept, save_minutes=0.0)
    assert make("a", checkpoint=kept) == whole


def test_a_torn_checkpoint_is_begun_again(make: Callable[..., str], tmp_path: Path) -> None:
    kept, said = tmp_path / "kept.unfinished", list[str]()
    whole = make("whole", steps=3)
    for torn in (b"torn", b"", (10**9).to_bytes(8, "little") + b"{"):
        kept.write_bytes(torn)
        said.clear()
        assert make("d", steps=3, checkpoint=kept, report=said.append) == whole
        assert said[0] == f"{kept} is torn; begins again"


def test_a_training_by_the_clock_leaves_the_checkpoint_of_another(
    make: Callable[..., str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.unfinished"
    with pytest.raises(KeyboardInterrupt):
        make("a", report=stop_after_two, checkpoint=kept, save_minutes=0.0)
    before = kept.read_bytes()
    make("b", steps=None, minutes=1e-9, checkpoint=kept)  # one update, whatever its time is
    assert kept.read_bytes() == before


def test_a_member_that_is_begun_is_listed_with_the_command_that_goes_on(
    make: Callable[..., str], tmp_path: Path
) -> None:
    def listed() -> ListedBase:
        return next(one for one in list_bases(tmp_path) if one.name == "wire-10m")

    assert (listed().remedy, listed().begun) == ("bakeoff bases make wire-10m", None)
    kept = unfinished_file(made_folder("wire-10m", tmp_path))
    with pytest.raises(KeyboardInterrupt):
        make("a", report=stop_after_two, checkpoint=kept, save_minutes=0.0, threads=2)
    going_on = "bakeoff bases make wire-10m --threads 2"
    assert (listed().remedy, listed().begun) == (going_on, "step 2 of 6")
    with pytest.raises(BaseModelError, match=rf"is begun \(step 2 of 6\), .*: {going_on}$"):
        here("wire-10m", tmp_path)


def test_articles_begin_anywhere() -> None:
    taken = articles(2026)
    first = [next(taken) for _ in range(2003)]
    for start in (0, 3, 1999, 2001):
        assert next(articles(2026, start=start)) == first[start]


def test_batches_go_on_where_others_ended() -> None:
    tokenizer = pretraining.family_tokenizer()
    whole = Packed(tokenizer, articles(2026), 2)
    half = Packed(tokenizer, articles(2026), 2)
    for _ in range(3):
        assert torch.equal(whole.batch(), half.batch())
    rest = articles(2026, start=half.taken)
    going_on = Packed(tokenizer, rest, 2, taken=half.taken, held=half.held)
    for _ in range(20):
        assert torch.equal(whole.batch(), going_on.batch())


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_what_its_card_says(name: str, tmp_path: Path) -> None:
    folder, card = card_of(name)
    assert (folder / "tokenizer.json").read_bytes() == (TINY / "tokenizer.json").read_bytes()
    weights = load_file(folder / "model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.float16"}
    source = load_source(name, root=tmp_path, cache_dir=tmp_path)
    assert f"{source.model.num_parameters():,} parameters" in card
    assert next(b.place for b in list_bases(tmp_path) if b.name == name) == "shipped with bakeoff"
    digest = re.search(r"SHA-256 (\w+)", card)
    assert digest is not None
    assert digest[1] == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    per_parameter = re.search(r"([\d.]+) per parameter", card)
    assert per_parameter is not None
    assert float(per_parameter[1]) == pytest.approx(TOKENS_PER_PARAMETER, rel=0.01)


def test_the_package_stays_small() -> None:
    package = Path(pretraining.__file__).parents[2]
    data = [f for f in package.rglob("*") if f.suffix in (".safetensors", ".json", ".jsonl")]
    assert sum(file.stat().st_size for file in data) < 8_000_000


@pytest.mark.soak
def test_the_tokenizer_is_made_again() -> None:
    texts = articles(pretraining.SEED)
    made = train_tokenizer([next(texts) for _ in range(pretraining.TOKENIZER_ARTICLES)])
    assert made.get_vocab() == pretraining.family_tokenizer().get_vocab()


@pytest.mark.soak
def test_the_smallest_is_made_again_to_the_bit(tmp_path: Path) -> None:
    _, card = card_of("wire-0.3m")
    found = pretrain("wire-0.3m", FAMILY["wire-0.3m"], tmp_path / "made", command="-")
    held_out = re.search(r"held-out loss \| ([\d.]+)", card)
    assert held_out is not None and found == pytest.approx(float(held_out[1]), abs=1e-3)
    if all(str(value) in card for value in machine(CPU).values()):
        digest = hashlib.sha256((tmp_path / "made" / "model.safetensors").read_bytes()).hexdigest()
        assert f"SHA-256 {digest}" in card
