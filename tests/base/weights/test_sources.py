"""References to bases, how quietly they load, and the base that is shipped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import utils as hub_utils
from transformers.utils import logging as transformers_logging

from bakeoff.base.library_output import silence_libraries
from bakeoff.base.weights.sources import Source
from bakeoff.errors import BaseModelError, CheckpointError
from tests.base.weights.model_folders import edit_json


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("", "names nothing"),
        ("./absent", "no folder"),
        ("a/b/c", "no folder"),
        ("../up", "no folder"),
        ("base/config.json", "is a file"),
    ],
)
def test_a_reference_that_is_neither_folder_nor_id(
    folder: Path, load: Callable[..., Source], reference: str, expected: str
) -> None:
    with pytest.raises(BaseModelError, match=expected):
        load(reference)


def test_a_revision_of_a_local_base_is_refused(folder: Path, load: Callable[..., Source]) -> None:
    for reference in ("base", "scratch:tiny-llama", "tiny"):
        with pytest.raises(BaseModelError, match="revision 'main' has no effect"):
            load(reference, revision="main")


# Silence


def test_loading_is_silent_and_restores_the_settings(
    folder: Path, load: Callable[..., Source], capfd: pytest.CaptureFixture[str]
) -> None:
    bars: Any = transformers_logging
    hub: Any = hub_utils

    def settings() -> tuple[Any, ...]:
        return (
            bars.get_verbosity(),
            bars.is_progress_bar_enabled(),
            hub.are_progress_bars_disabled(),
        )

    # The libraries' own handlers write to whichever standard error they found first, so that what
    # they would print is heard at their loggers as well.
    heard: list[logging.LogRecord] = []
    listener: Any = logging.Handler()
    listener.emit = heard.append
    loggers = [logging.getLogger("transformers"), logging.getLogger("huggingface_hub")]
    verbosity = bars.get_verbosity()
    bars.set_verbosity_info()
    for logger in loggers:
        logger.addHandler(listener)
    try:
        before = settings()
        capfd.readouterr()
        load("base")
        edit_json(folder / "config.json", intermediate_size=96)
        with pytest.raises(CheckpointError):
            load("base")
        assert [record.getMessage() for record in heard] == []
        assert capfd.readouterr() == ("", "")
        assert settings() == before
    finally:
        for logger in loggers:
            logger.removeHandler(listener)
        bars.set_verbosity(verbosity)


def test_quiet_restores_bars_that_were_off() -> None:
    bars: Any = transformers_logging
    hub: Any = hub_utils
    with silence_libraries():
        with silence_libraries():
            assert bars.get_verbosity() == logging.ERROR
        assert hub.are_progress_bars_disabled()
        assert not bars.is_progress_bar_enabled()


# The shipped base


def test_the_shipped_base_loads(load: Callable[..., Source]) -> None:
    source = load("tiny")
    assert source.model.config.model_type == "gpt_neo"
    assert 1_000_000 <= source.model.num_parameters() <= 4_000_000
    text = "The council met on Tuesday."
    assert source.tokenizer.decode(source.tokenizer(text)["input_ids"]) == text
