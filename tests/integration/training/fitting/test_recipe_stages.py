"""The stages of a recipe have its settings, and take only what they know."""

from __future__ import annotations

import pytest
from refusals import refused

from sparkdl.transformers.featurizer import DeepImageFeaturizer
from training.fitting.fit import feature_stages
from training.fitting.recipes import RECIPES, Recipe, recipe

pytestmark = pytest.mark.usefixtures("spark")  # Spark ML's Params need one


@pytest.mark.parametrize("made", RECIPES.values(), ids=RECIPES)
def test_a_recipe_becomes_stages_with_its_settings(made: Recipe) -> None:
    *_, featurizer = feature_stages(made)
    assert isinstance(featurizer, DeepImageFeaturizer)
    assert featurizer.getInputSize() == [made.input_size, made.input_size]
    assert featurizer.getTapLayers() == list(made.tap_layers)
    assert featurizer.getPooling() == made.pooling
    assert featurizer.getOutputCol() == "features"


@pytest.mark.parametrize("setting", ["model_name=InceptionV4", "scale_hint=SCALE_FASTER", "pooling=3x4"])
def test_a_name_that_no_stage_knows_is_refused_before_any_work(setting: str) -> None:
    with refused(setting.partition("=")[2]):
        feature_stages(recipe("digits", [setting]))
