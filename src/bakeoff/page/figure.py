"""A figure, in every form that a page needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure; each form is drawn when it is first asked for.

    Attributes:
        name: of its files. group: where it is on the page. title, caption: above it.
        alt: what someone who does not see it should know.
        spec: the whole as a Vega-Lite specification.
        panels: the figure in parts, each with its words, for a page that lets them flow.
    """

    name: str
    group: str
    title: str
    caption: str
    alt: str
    spec: Mapping[str, Any]
    panels: tuple[tuple[Mapping[str, Any], str], ...] = ()

    @cached_property
    def _drawn(self) -> str:
        from bakeoff.page.drawing import drawn

        return drawn(self.spec)

    @cached_property
    def svg(self) -> str:
        """A file of its own, on white."""
        from bakeoff.page.drawing import svg_file

        return svg_file(self._drawn, self.name)

    @cached_property
    def png(self) -> bytes:
        """The same."""
        from bakeoff.page.drawing import png_file

        return png_file(self._drawn)

    @cached_property
    def inline(self) -> tuple[str, ...]:
        """For the page, one or several side by side: transparent, ids unique, each mark's text in
        ``data-tip`` and whose it is in ``data-series``."""
        from bakeoff.page.drawing import drawn, inline_svg

        parts = [
            inline_svg(drawn(spec), f"{self.name}-{number}", words)
            for number, (spec, words) in enumerate(self.panels)
        ]
        return tuple(parts or [inline_svg(self._drawn, self.name, self.alt)])
