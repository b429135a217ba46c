"""A drawn figure, in every form that a page needs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        name: of its files. group: where it is on the page. title, caption: above it.
        alt: what someone who does not see it should know.
        svg: a file of its own, on white. png: the same.
        inline: for the page, one or several side by side: transparent, ids unique, each mark's
            text in ``data-tip`` and whose it is in ``data-series``.
    """

    name: str
    group: str
    title: str
    caption: str
    alt: str
    svg: str
    inline: tuple[str, ...]
    png: bytes
