"""The figures of docs/explanation/results.md are the measured ones; docs/reference/recipes.md lacks no setting."""

from __future__ import annotations

import json

import numpy as np
import pytest
from page import rendered
from paths import ROOT
from protocols import label_roc_auc

from training.evaluation.evaluate import Evaluation
from training.fitting.recipes import RECIPES, Recipe

FIGURES = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text())
RESULTS = (ROOT / "docs" / "explanation" / "results.md").read_text(encoding="utf-8")
RECIPES_PAGE = (ROOT / "docs" / "reference" / "recipes.md").read_text(encoding="utf-8")


def test_the_tables_are_made_of_the_figures_that_were_kept() -> None:
    assert rendered(RESULTS, FIGURES) == RESULTS
    assert "Not measured" not in RESULTS


def test_a_figure_that_changes_changes_its_table() -> None:
    changed = json.loads(json.dumps(FIGURES))
    changed["few-digits"]["accuracy"][0] = 0.123
    assert "| 0.123 ±" in rendered(RESULTS, changed)


def test_the_roc_auc_of_predicted_classes_is_the_mean_of_recall_and_specificity() -> None:
    labels, predictions = ("a", "a", "b", "b", "c", "c"), ("a", "b", "b", "b", "c", "c")
    probabilities = np.eye(3)[[0, 1, 1, 1, 2, 2]] * 0.4 + 0.2
    found = label_roc_auc(Evaluation(("a", "b", "c"), tuple("123456"), labels, predictions, probabilities))
    assert found == pytest.approx(((1 / 2 + 4 / 4) / 2 + (2 / 2 + 3 / 4) / 2 + (2 / 2 + 4 / 4) / 2) / 3)


def test_every_recipe_and_every_setting_is_documented() -> None:
    for name in RECIPES:
        assert f"\n| `{name}`" in RECIPES_PAGE
    settings = {line.split("|")[1] for line in RECIPES_PAGE.splitlines() if line.startswith("| `")}
    documented = {word.strip(" `") for cell in settings for word in cell.split(",")}
    assert set(Recipe.model_fields) - {"name", "summary"} <= documented
