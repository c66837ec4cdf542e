"""The stages of a recipe have its settings."""

from __future__ import annotations

import pytest

from sparkdl.transformers.featurizer import DeepImageFeaturizer
from training.fitting.features import feature_stages
from training.fitting.recipes import RECIPES, Recipe

pytestmark = pytest.mark.usefixtures("spark")  # Spark ML's Params need one


@pytest.mark.parametrize("made", RECIPES.values(), ids=RECIPES)
def test_a_recipe_becomes_stages_with_its_settings(made: Recipe) -> None:
    *_, featurizer = feature_stages(made)
    assert isinstance(featurizer, DeepImageFeaturizer)
    assert featurizer.getInputSize() == [made.input_size, made.input_size]
    assert featurizer.getTapLayers() == list(made.tap_layers)
    assert featurizer.getPooling() == made.pooling
    assert featurizer.getOutputCol() == "features"
