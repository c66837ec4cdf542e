"""Promises of docs/results.md and docs/recipes.md: the figures are the measured ones, and no setting is missing."""

from __future__ import annotations

import json

from page import rendered
from paths import ROOT

from training.fitting.recipes import RECIPES, Recipe

FIGURES = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text())
RESULTS = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
RECIPES_PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def test_the_tables_are_made_of_the_figures_that_were_kept() -> None:
    assert rendered(RESULTS, FIGURES) == RESULTS
    assert "Not measured" not in RESULTS


def test_a_figure_that_changes_changes_its_table() -> None:
    changed = json.loads(json.dumps(FIGURES))
    changed["few-digits"]["accuracy"][0] = 0.123
    assert "| 0.123 ±" in rendered(RESULTS, changed)


def test_every_recipe_and_every_setting_is_documented() -> None:
    for name in RECIPES:
        assert f"\n| `{name}`" in RECIPES_PAGE
    settings = {line.split("|")[1] for line in RECIPES_PAGE.splitlines() if line.startswith("| `")}
    documented = {word.strip(" `") for cell in settings for word in cell.split(",")}
    assert set(Recipe.model_fields) - {"name", "summary"} <= documented
