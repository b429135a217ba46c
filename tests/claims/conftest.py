"""What runs of claims are tested with: made articles in small, and training that is planted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bakeoff.api import claims as api
from bakeoff.api.claim_data import made_data
from bakeoff.claims.contract import SIZES
from tests.claims.planted import Study


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return made_data(tmp_path_factory.mktemp("claims"), SIZES["quick"])


@pytest.fixture
def planted(data: Any, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Stands for the training of all studies of ``run_claims``."""
    study = Study()
    monkeypatch.setattr(api, "made_data", lambda *_: data)
    monkeypatch.setattr(api, "execute", lambda mapping, place, *_: study(mapping, place, None))
    monkeypatch.setattr(api, "Study", SimpleNamespace(from_mapping=lambda mapping: mapping))
    return study
