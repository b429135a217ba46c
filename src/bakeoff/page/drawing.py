"""From a specification to SVG and PNG, and to an SVG that lives inside the page."""

from __future__ import annotations

import html
import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from bakeoff.page.labels import SERIES_END
from bakeoff.page.renderer import DrawingError, png_of, svg_of

_SVG = "http://www.w3.org/2000/svg"
_PNG_SCALE = 2.0
_LOG = logging.getLogger(__name__)
_WHITE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
_DROPPED = ("role", "aria-roledescription", "aria-hidden")


def drawn(spec: Mapping[str, Any]) -> str:
    """A whole Vega-Lite specification as SVG, as Vega draws it.

    Where it cannot be drawn, a picture that says so and why.
    """
    try:
        return svg_of(spec)
    except DrawingError as error:
        _LOG.warning("a figure could not be drawn: %s", error)
        return _in_place(str(error))


def _in_place(why: str) -> str:
    """A picture in place of one that could not be drawn."""
    words = html.escape(f"This figure could not be drawn: {why[:120]}")
    return (
        f'<svg xmlns="{_SVG}" width="640" height="60" viewBox="0 0 640 60">'
        f'<rect width="640" height="60" fill="white"/><text x="8" y="34">{words}</text></svg>'
    )


def svg_file(drawing: str, name: str) -> str:
    """A drawing as a file of its own, on white."""
    return _to_string(_parsed(drawing, name))


def png_file(drawing: str) -> bytes:
    """The same as PNG; a white point where it cannot be drawn."""
    try:
        return png_of(drawing, scale=_PNG_SCALE)
    except DrawingError as error:
        _LOG.warning("a figure could not be drawn as PNG: %s", error)
        return _WHITE


def inline_svg(drawing: str, name: str, words: str) -> str:
    """A drawing for the page: transparent, with what it says in ``words``."""
    return _to_inline(_parsed(drawing, name), words)


def _parsed(drawn: str, name: str) -> ET.Element:
    """The drawing with ids of its own, and each mark's series apart from what it says."""
    root = ET.fromstring(drawn)
    _rename_ids(root, name)
    for element in root.iter():
        series, end, tip = element.attrib.get("aria-label", "").partition(SERIES_END)
        if end:
            element.set("aria-label", tip)
            element.set("data-series", series)
    return root


def _rename_ids(root: ET.Element, name: str) -> None:
    """Ids unique on the page, and the same at every run: Vega counts them up for ever."""
    names = {e.attrib["id"] for e in root.iter() if "id" in e.attrib}
    new = {old: f"{name}-{i}" for i, old in enumerate(sorted(names, key=_natural))}
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, new[value])
            elif value.startswith("url(#") and value[5:-1] in new:
                element.set(key, f"url(#{new[value[5:-1]]})")


def _natural(text: str) -> tuple[int, str]:
    digits = re.search(r"\d+", text)
    return int(digits.group()) if digits else 0, text


def _to_inline(root: ET.Element, alt: str) -> str:
    copy = ET.fromstring(ET.tostring(root))
    for child in list(copy):
        if child.tag == f"{{{_SVG}}}rect":
            copy.remove(child)  # the white ground
    for element in copy.iter():
        for key in _DROPPED:
            element.attrib.pop(key, None)
        tip = element.attrib.pop("aria-label", None)
        if tip and element.tag != f"{{{_SVG}}}g":
            element.set("data-tip", tip)
    copy.set("role", "img")
    copy.set("aria-label", alt)
    return _to_string(copy)


def _to_string(root: ET.Element) -> str:
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")
