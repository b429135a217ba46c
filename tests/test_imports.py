"""Which module imports which: the floors are import-linter's contract; here, that none go round."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import grimp
import pytest


def order(graph: grimp.ImportGraph) -> list[str]:
    """Modules so that each stands after all that it imports, also for its types alone."""
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    return list(TopologicalSorter(imports).static_order())


def test_no_modules_import_each_other() -> None:
    graph = grimp.build_graph("bakeoff", cache_dir=None)
    assert len(order(graph)) == len(graph.modules) > 150


def test_a_circle_would_be_found() -> None:
    graph = grimp.build_graph("bakeoff", cache_dir=None)
    graph.add_import(importer="bakeoff.errors", imported="bakeoff.cli.main")
    with pytest.raises(CycleError):
        order(graph)
