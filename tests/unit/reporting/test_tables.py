from __future__ import annotations

import csv
import io
import re

import pytest

from cxr_spark.reporting.tables import Column, Row, Table, as_csv, as_latex

HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "  =1", "\r=1"]


def table(*texts: str) -> Table:
    columns = (Column("Finding & more", "text", "finding"), Column("AUC", "three", "auc"))
    return Table("test", columns, [Row((text, 0.5)) for text in texts])


def test_no_text_in_a_csv_is_a_formula() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(table(*HOSTILE, "Mass", 'a "b", c\nd')), newline="")))
    for row, text in zip(rows, HOSTILE, strict=False):
        assert row["finding"] == "'" + text
    assert [row["finding"] for row in rows[-2:]] == ["Mass", 'a "b", c\nd']


@pytest.mark.parametrize(
    "text", ["\\input{/etc/passwd}", "50% & $x$ #1 a_b ~^{}", "two\nlines", "\\\\ \\hline", "a\x00b"]
)
def test_no_text_in_latex_is_a_command(text: str) -> None:
    lines = as_latex(table(text)).splitlines()
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert len(body) == 1  # it stays one row
    cell = body[0].removesuffix(" & 0.500 \\\\")
    without = re.sub(r"\\(textbackslash|space|textasciitilde|textasciicircum)\b", "", cell)
    without = re.sub(r"\\[&%$#_{}]", "", without)
    assert not re.search(r"[\\&%$#_{}~^]", without)
    assert "Finding \\& more & AUC \\\\" in lines


def test_latex_aligns_texts_left_and_numbers_right() -> None:
    assert as_latex(table("Mass")).startswith("\\begin{tabular}{lr}")
