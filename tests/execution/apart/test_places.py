"""What a try takes over of the tries before it, which may still be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bakeoff.execution.apart.places import carry_over, new_attempt
from bakeoff.execution.states import COHORTS, read_state, write_state


def states_in(place: Path) -> list[str]:
    return sorted(file.name[:6] for file in place.rglob("*.safetensors") if read_state(file))


def test_a_checkpoint_that_is_replaced_meanwhile_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (new_attempt(tmp_path, "train-base-0") for _ in range(2))
    folder = first / COHORTS / "train-base-0"
    olds = [write_state(folder, f"{number:06d}-", {}, {}) for number in range(2)]
    (first / "notes.json").write_text("[]", encoding="utf-8")
    copy = shutil.copyfile
    copied: list[Path] = []

    def replacing(source: Path, target: Path) -> None:
        if not copied:  # who was thought lost saves just now
            write_state(folder, "000002-", {}, {})
            for old in olds:
                old.unlink()
        copied.append(source)
        copy(source, target)

    monkeypatch.setattr("bakeoff.execution.apart.places.shutil.copyfile", replacing)
    carry_over([first], second)
    assert states_in(second) == ["000002"]
    assert (second / "notes.json").is_file()


def test_an_older_checkpoint_that_goes_meanwhile_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (new_attempt(tmp_path, "train-base-0") for _ in range(2))
    folder = first / COHORTS / "train-base-0"
    old, _ = (write_state(folder, f"{number:06d}-", {}, {}) for number in range(2))
    copy = shutil.copyfile
    copied: list[Path] = []

    def removing(source: Path, target: Path) -> None:
        copied.append(source)
        copy(source, target)
        old.unlink(missing_ok=True)

    monkeypatch.setattr("bakeoff.execution.apart.places.shutil.copyfile", removing)
    carry_over([first], second)
    assert states_in(second) == ["000001"] and len(copied) == 2


@pytest.mark.parametrize("at", ["weights", "000000"], ids=["an-adapter", "an-older-state"])
def test_a_try_that_ends_while_it_takes_over_leaves_the_next_all_of_it(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = (new_attempt(tmp_path, "train-base-0") for _ in range(3))
    for number in range(2):
        write_state(first / COHORTS / "train-base-0", f"{number:06d}-", {}, {})
    adapter = first / "candidates/lora-lr0.1-s0/adapter/weights"
    adapter.parent.mkdir(parents=True)
    adapter.write_text("trained", encoding="utf-8")
    copy = shutil.copyfile

    def killed(source: Path, target: Path) -> None:
        copy(source, target)
        if source.name.startswith(at):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("bakeoff.execution.apart.places.shutil.copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            carry_over([first], second)
    carry_over([first, second], third)
    assert states_in(third)[-1] == "000001"
    assert (third / adapter.relative_to(first)).read_text(encoding="utf-8") == "trained"
