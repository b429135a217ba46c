"""Figures at the widths of a printed column and of a page."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any, Final, Literal

from bakeoff.page.drawing import drawn, svg_file
from bakeoff.page.figure import Figure
from bakeoff.page.renderer import pdf_of, png_of

FileKind = Literal["pdf", "svg", "png"]
WIDTHS_MM: Final = (85, 175)
"""One column of a two-column page, and the whole of it."""
_PX_PER_MM: Final = 96.0 / 25.4
_PT_PER_MM: Final = 72.0 / 25.4
_PNG_SCALE: Final = 0.75
"""The library's pictures have 72 pixels for 72 of the drawing, of which an inch has 96."""
_DPI: Final = 300
_MILLIMETRES: Final = re.compile(r'(width|height)="([\d.]+)mm"')
_SIZE: Final = re.compile(r'width="([\d.]+)" height="([\d.]+)"')


def sized_files(
    figure: Figure, kinds: tuple[FileKind, ...], widths: tuple[int, ...] = WIDTHS_MM
) -> dict[str, bytes]:
    """The figure's files by name, such as ``pareto_memory-85mm.pdf``.

    Args:
        figure: which. kinds: of files. widths: in millimetres.
    """
    files: dict[str, bytes] = {}
    for width in widths:
        drawing = _at_width(figure.spec, width)
        for kind in kinds:
            name = f"{figure.name}-{width}mm"
            files[f"{name}.{kind}"] = _file(drawing, name, kind)
    return files


def _file(drawing: str, name: str, kind: FileKind) -> bytes:
    if kind == "svg":
        return svg_file(drawing, name).encode("utf-8")
    if kind == "pdf":
        return pdf_of(_in_points(drawing))
    return _with_density(png_of(drawing, scale=_PNG_SCALE, ppi=_DPI))


def _at_width(spec: Mapping[str, Any], width_mm: int) -> str:
    """The drawing, as wide as that: its plot gets wider where there is room, its text does not."""
    room = width_mm * _PX_PER_MM
    drawing = drawn(spec)
    width, _ = _size(drawing)
    wider = _widened(spec, width, room)
    if wider is not None:
        drawing = drawn(wider)
    width, height = _size(drawing)
    high_mm = width_mm * height / width
    return _SIZE.sub(f'width="{width_mm}mm" height="{high_mm:.4g}mm"', drawing, count=1)


def _widened(spec: Mapping[str, Any], width: float, room: float) -> Mapping[str, Any] | None:
    """The specification for a drawing of about ``room`` pixels; None where it stays as it is."""
    plot, columns = spec.get("width"), spec.get("columns")
    if isinstance(plot, int | float) and room > width:
        return {**spec, "width": plot + room - width}
    if isinstance(columns, int) and (fits := int(room // (width / columns))) > columns:
        return {**spec, "columns": min(fits, len(spec["concat"]))}
    return None


def _in_points(drawing: str) -> str:
    """Sizes as plain numbers, as the library's PDF takes a pixel for a point."""
    return _MILLIMETRES.sub(
        lambda found: f'{found[1]}="{float(found[2]) * _PT_PER_MM:.6g}"', drawing, count=2
    )


def _size(drawing: str) -> tuple[float, float]:
    found = _SIZE.search(drawing)
    assert found is not None, "Vega's drawings say how large they are"
    return float(found[1]), float(found[2])


def _with_density(png: bytes) -> bytes:
    """The picture with its pixels per metre, so that it is placed at its width."""
    from zlib import crc32

    if b"pHYs" in png[:200]:
        return png
    per_metre = round(_DPI / 0.0254)
    chunk = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    whole = struct.pack(">I", 9) + chunk + struct.pack(">I", crc32(chunk))
    end = 8 + 25  # the signature and the header's chunk
    return png[:end] + whole + png[end:]
