"""The search's storage of a run: opened, put aside where it is no database, and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bakeoff.ranks import ranks
from bakeoff.runs.folder import SEARCH_FILE, RunFolder
from bakeoff.search.schedule import StudySchedule

if TYPE_CHECKING:
    from bakeoff.search.storage import SearchStorage


def open_storage(
    folder: RunFolder, schedule: StudySchedule, name: str, note: Callable[[str], None]
) -> SearchStorage:
    """Opens it and writes what is known already.

    Args:
        folder: of the run. schedule: with a search. name: of the study. note: called with a
            sentence where the file was put aside.

    Raises:
        StoreError: a database that was given by URL cannot be read.
    """
    # Heavy, and of no use without a search.
    from bakeoff.search.storage import SearchStorage, UnreadableError

    search = schedule.search
    assert search is not None
    path = (folder.path / SEARCH_FILE).resolve()
    run_id = folder.run_id
    elsewhere = search.storage if ranks().is_first else None

    def opened() -> SearchStorage:
        return SearchStorage(
            elsewhere or f"sqlite:///{path}",
            name if elsewhere is None else f"{name}-{run_id[:8]}",
            run_id,
            {m.name: m.settings for m in schedule.methods.values()},
        )

    try:
        storage = opened()
    except UnreadableError as error:
        if elsewhere is not None:
            raise
        # All of it can be written again from what the run keeps.
        path.replace(path.with_name(f"{path.name}.broken"))
        note(f"{error.place} could not be read as a database; it was put aside and written again")
        storage = opened()
    storage.begin(record for m in schedule.methods.values() for record in m.records)
    return storage
