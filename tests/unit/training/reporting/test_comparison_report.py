"""Promises of `training.reporting` about a comparison: its figures, its differences and its picture."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from reports import HERE, against, is_blank, measured, page_of, tables

from training.evaluation.comparison import compare
from training.reporting.report import write_report


def test_a_comparison_is_part_of_the_report(tmp_path: Path) -> None:
    evaluation, dataset = measured(("cat", "dog", "owl"))
    comparison = compare(*against(("cat", "dog", "owl")))
    write_report(tmp_path, evaluation, dataset, HERE, comparison)
    assert json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8")) == comparison.figures
    with (tmp_path / "differences.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert [row[key] for key in ("id", "label", "prediction", "prediction_against")] == ["0/0.png", "cat", "dog", "cat"]
    page = page_of(tmp_path)
    assert "## Comparison with the other" in page
    assert tables(page)["images, the other right, the other wrong"] == [
        ["this one right", "12", "0"],
        ["this one wrong", "1", "2"],
    ]
    low, high = comparison.figures["difference_interval"]
    assert f"| difference | -0.0667 ({low:+.4f} to {high:+.4f}) |" in page
    assert "| p value, McNemar's exact test | 1 |" in page
    assert not is_blank(tmp_path / "differences.png")


def test_without_a_comparison_there_is_nothing_of_one(tmp_path: Path) -> None:
    write_report(tmp_path, *measured(("cat", "dog")), HERE)
    assert "differences" not in page_of(tmp_path)
