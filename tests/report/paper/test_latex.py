"""Whatever something is called, LaTeX prints it as it is, and a study's file holds together."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.report.load import load_run
from bakeoff.report.paper.document import latex_text
from bakeoff.report.paper.latex import PREAMBLE, escaped
from bakeoff.runs.records import Results
from tests.decide.made import study_of
from tests.golden_folders import copy_of, renamed

HOSTILE = r"a_b%c&d#e~f^g\h{i}j$k"
CONTROLS = re.compile(r"\\(?:[a-zA-Z@]+|.)", re.DOTALL)


def unescaped_specials(text: str) -> list[str]:
    """Characters that LaTeX would take for its own, outside of its commands and of math."""
    plain = re.sub(r"\$(?:-|p|\\[a-z]+)\$", "", text)
    return re.findall(r"[_%#^$\\]", CONTROLS.sub("", plain))


def balance(text: str) -> int:
    """Opening braces less closing ones, escaped ones left out; fails where it falls below 0."""
    depth = 0
    for brace in re.findall(r"[{}]", re.sub(r"\\[{}]", "", text)):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    return depth


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("soft_prompt", r"soft\_prompt"),
        ("50 % & more #1", r"50 \% \& more \#1"),
        ("~ ^", r"\textasciitilde{} \textasciicircum{}"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("$x$", r"\$x\$"),
        ("[1]", "{[}1{]}"),
        ("a--b -", "a-{}-b -"),
        ("a---b", "a-{}-{}-b"),
        ("1–2", "1--2"),
        ("−0.5 × 100 µs", r"$-$0.5 $\times$ 100 $\mu$s"),
        ("Popović, Çelik", r"Popovi\'{c}, \c{C}elik"),
        ("two\nlines", "two lines"),
        ("語", r"\bakeoffchar{語}{U+8A9E}"),
        ("\u202e\ud83d", r"\texttt{U+202E}\texttt{U+D83D}"),
    ],
)
def test_text_is_printed_as_it_is(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_every_printable_character_of_ascii_is_safe() -> None:
    text = escaped("".join(map(chr, range(32, 127))))
    assert unescaped_specials(text) == []
    assert balance(text) == 0


@pytest.fixture
def tex(tmp_path: Path) -> str:
    """The file of a study whose method, study and metric are named to break it."""

    def attacked(results: Results) -> Results:
        changed = renamed(results, {"lora": HOSTILE})
        metrics = tuple(
            replace(m, title=HOSTILE) if m.name == "rouge1" else m for m in changed.task.metrics
        )
        return replace(
            changed,
            study={**changed.study, "name": HOSTILE, "base": "語_模型"},
            task=replace(changed.task, metrics=metrics),
        )

    copy_of("four", tmp_path, attacked)
    return latex_text(load_run(tmp_path), [])


def test_a_hostile_study_holds_together(tex: str) -> None:
    body = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    _, _, body = body.partition("\\fi\\fi")
    assert HOSTILE not in body
    assert escaped(HOSTILE) in body
    assert r"\bakeoffchar{語}{U+8A9E}\_\bakeoffchar{模}{U+6A21}" in body
    assert unescaped_specials(body) == []
    assert balance(body) == 0
    begun = re.findall(r"\\begin\{(\w+)\}", body)
    assert sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", body))
    assert body.count(r"\toprule") == begun.count("tabular") == body.count(r"\bottomrule")


def test_each_row_has_as_many_cells_as_its_table(tex: str) -> None:
    tables = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", tex, re.DOTALL)
    assert len(tables) == 5  # two of quality, two of costs, pairs
    for columns, inside in tables:
        rows = [line for line in inside.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 4
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1, row


def test_a_pair_that_was_not_judged_has_a_dash_and_the_reason(tmp_path: Path) -> None:
    copy_of("four", tmp_path, lambda _: study_of({"lora": 2.0, "head": 2.5}, seeds=2))
    text = latex_text(load_run(tmp_path), [])
    [pair] = [line for line in text.splitlines() if line.startswith("lora & head &")]
    assert pair.split(" & ")[4:] == ["--", r"undecided \\"]
    assert r"\footnotesize Without $p$, as not judged: lora and head have fewer than" in text


def test_intervals_and_verdicts_are_marked(tmp_path: Path) -> None:
    results = copy_of("four", tmp_path)
    text = latex_text(load_run(tmp_path), [])
    best = results.methods["full"].test["nll"]
    assert best.low is not None and best.high is not None
    assert rf"full & \textbf{{{best.mean:.3f}}} {{[}}{best.low:.3f}, {best.high:.3f}{{]}}" in text
    [small] = [line for line in text.splitlines() if line.startswith(r"lora\_small & 2.173")]
    assert "& 8.4 {[}" in small  # worse than the best: no mark
    [lora] = [line for line in text.splitlines() if line.startswith("lora & 2.052")]
    assert r"& 13.1\textsuperscript{?} {[}" in lora
    assert "& equivalent " in text
    assert r"% \usepackage{booktabs,graphicx" in text


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "as a part"])
def test_pdflatex_reads_it_alone_and_as_a_part_of_a_document(
    tmp_path: Path, is_alone: bool
) -> None:
    copy_of("four", tmp_path)
    text = latex_text(load_run(tmp_path), [])
    (tmp_path / "report.tex").write_text(text, encoding="utf-8")
    if not is_alone:
        (tmp_path / "report.tex").rename(tmp_path / "part.tex")
        packages = PREAMBLE.replace("% ", "")
        (tmp_path / "report.tex").write_text(
            f"\\documentclass{{article}}\n{packages}\n\\begin{{document}}\n"
            "\\input{part}\\input{part}\n\\end{document}\n",
            encoding="utf-8",
        )
    assert text.endswith("\n\\bakeoffend\n")
    if (pdflatex := shutil.which("pdflatex")) is None:
        pytest.skip("pdflatex is not here")
    made = subprocess.run(
        [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-1500:]
    assert b"incomplete" not in made.stdout, "a conditional is left open"
    assert (tmp_path / "report.pdf").stat().st_size > 0
