"""Sites in a model for as long as something acts there, and silent for a pass of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from bakeoff.base.experts import ExpertsSite
from bakeoff.base.injection import LinearSite, NormSite, Site, site_of, unsited
from bakeoff.base.row_groups import grouped
from bakeoff.base.shared_inputs import layers_that_share, turns


@contextmanager
def sites_in(model: nn.Module, names: Sequence[str], num_slots: int) -> Iterator[dict[str, Site]]:
    """Turns the named layers of ``model`` into sites, by name, for as long as the context lasts.

    Args:
        model: whose layers they are. names: full names of layers.
        num_slots: K, the slots that act at each of them.
    """
    installed: dict[str, Site] = {}
    try:
        for name in names:
            site = site_of(model.get_submodule(name), name)
            site.num_slots = num_slots
            _put(model, name, site)
            installed[name] = site
        linear = [n for n, site in installed.items() if isinstance(site, LinearSite)]
        for group in layers_that_share(linear):
            for name, turn in zip(group, turns(len(group)), strict=True):
                installed[name].turn = turn
        yield installed
    finally:
        for name, site in installed.items():
            _put(model, name, unsited(site))


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


@contextmanager
def silent_sites(model: nn.Module) -> Iterator[None]:
    """Silences all hooks in ``model``, so that passes inside the context are the base's own."""
    found = [m for m in model.modules() if isinstance(m, (LinearSite, NormSite, ExpertsSite))]
    linear = [m for m in found if isinstance(m, LinearSite)]
    hooks = [site.hooks for site in found]
    of_linear = [(site.input_hooks, site.product) for site in linear]
    try:
        for site in found:
            site.hooks = []
        for site in linear:
            site.input_hooks, site.product = [], None
        with grouped(None):
            yield
    finally:
        for site, kept in zip(found, hooks, strict=True):
            site.hooks = kept
        for site, (input_hooks, product) in zip(linear, of_linear, strict=True):
            site.input_hooks, site.product = input_hooks, product
