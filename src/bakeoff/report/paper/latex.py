"""Text and tables in LaTeX, as escaped as whatever a user may have named something."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_PACKAGES: Final = (r"\usepackage[T1]{fontenc}", r"\usepackage{booktabs,graphicx,textcomp}")
PREAMBLE: Final = "\n".join(f"% {line}" for line in _PACKAGES)
"""What a document that reads the file must load, as comments."""

# LaTeX lets \@nodocument be \relax once \begin{document} is behind it.
ALONE: Final = "\n".join(
    [
        r"\expandafter\ifx\csname @nodocument\endcsname\relax",
        r"  \def\bakeoffend{}",
        r"\else",
        r"  \documentclass{article}",
        *(f"  {line}" for line in _PACKAGES),
        r"  \def\bakeoffend{\bibliographystyle{plain}\bibliography{references}\end{document}}",
        r"  \begin{document}",
        r"\fi",
    ]
)
"""Makes the file a document of its own where it is not read by one; ``END`` ends it."""

END: Final = r"\bakeoffend"

CHARACTER_MACRO: Final = r"""\ifdefined\XeTeXrevision
  \providecommand{\bakeoffchar}[2]{#1}
\else\ifdefined\luatexversion
  \providecommand{\bakeoffchar}[2]{#1}
\else
  \providecommand{\bakeoffchar}[2]{\texttt{#2}}
\fi\fi"""
"""Characters that pdfTeX has no font for: itself in XeTeX and LuaTeX, else its number."""

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    # Brackets could be read as an argument of the command before them.
    "[": "{[}",
    "]": "{]}",
}
_KNOWN: Final = {
    "\u00a0": "~",
    "\u2009": r"\,",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "σ": r"$\sigma$",
    "α": r"$\alpha$",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "\u0131": r"\i{}",
}
_BREAKS: Final = re.compile(r"[\0\t\n\r\f\v]+")
_ACCENTS: Final = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
    "\u0328": "k",
}  # fmt: skip


def escaped(text: str) -> str:
    """A text that LaTeX prints as it is, on one line."""
    one_line = unicodedata.normalize("NFC", _BREAKS.sub(" ", text))
    # Two hyphens would be a dash.
    return "".join(map(_escaped, one_line.replace("--", "-\0-").replace("--", "-\0-")))


def _escaped(character: str) -> str:
    known = _SPECIAL.get(character) or _KNOWN.get(character)
    if known is not None:
        return known
    if character == "\0":
        return "{}"
    if character.isascii():
        return character if character.isprintable() else " "
    parts = unicodedata.normalize("NFD", character)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    number = f"U+{ord(character):04X}"
    if unicodedata.category(character) in ("Cs", "Cc", "Cf", "Co", "Cn"):
        # Half a surrogate pair has no form in UTF-8; marks of direction would turn the page.
        return rf"\texttt{{{number}}}"
    return rf"\bakeoffchar{{{character}}}{{{number}}}"


def table(
    heads: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    caption: str,
    label: str,
    columns: str,
    note: str = "",
) -> str:
    """A table of booktabs.

    Args:
        heads, body, caption: in LaTeX, escaped by the caller. note: likewise, below the table.
        label: for ``\\ref``. columns: the column specification, such as ``lrr``.
    """
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}",
        *([rf"\par\smallskip\footnotesize {note}"] if note else []),
        r"\end{table}",
    ]
    return "\n".join(lines)


def label_part(name: str) -> str:
    """A name as part of a label: ASCII letters, digits, dots and dashes."""
    return "".join(c if c.isascii() and (c.isalnum() or c == ".") else "-" for c in name)
