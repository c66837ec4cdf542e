"""Recipes contain only names that exist, and `--set` accepts only valid values."""

from __future__ import annotations

from inspect import isabstract

import pytest
from pyspark.ml import Estimator, classification
from pyspark.ml.param.shared import HasProbabilityCol
from refusals import refused

from sparkdl.networks.backbones import BACKBONES
from sparkdl.networks.efficientnet import TAPS
from sparkdl.networks.pooling import grid_of
from sparkdl.networks.spec import SCALE_HINTS
from training.fitting.recipes import CLASSIFIERS, DEFAULT, RECIPES, Recipe, recipe

every_recipe = pytest.mark.parametrize("made", RECIPES.values(), ids=RECIPES)


@every_recipe
def test_a_recipe_names_a_network_its_layers_a_pooling_and_a_scale_hint_that_exist(made: Recipe) -> None:
    network = BACKBONES[made.model_name]
    assert set(made.tap_layers) <= (set(TAPS) if made.model_name == "EfficientNetLite0" else {network.tap_layer})
    assert made.tap_layers
    assert made.scale_hint in SCALE_HINTS
    grid_of(made.pooling)  # refuses what is none


@every_recipe
def test_a_recipe_survives_json(made: Recipe) -> None:
    assert Recipe.model_validate_json(made.model_dump_json()) == made


def test_the_default_is_a_recipe_that_needs_no_download() -> None:
    assert BACKBONES[recipe(DEFAULT).model_name].keras_file is None


def test_the_original_recipe_is_the_notebook_s() -> None:
    made = recipe("original")
    assert (made.model_name, made.input_size, made.tap_layers, made.pooling) == (
        "InceptionV3",
        299,
        ("mixed10",),
        "none",
    )
    assert (made.max_iter, made.reg_param, made.elastic_net_param) == (5, (0.03,), 0.5)


def test_settings_are_converted_to_the_types_of_their_keys() -> None:
    made = recipe(
        "digits",
        [
            "max_iter=7",
            "reg_param=1e-3",
            "normalize_ink=false",
            "augmentations=0",
            "tap_layers=block3, head",
            "weights=a=b.pth",
        ],
    )
    assert (made.max_iter, made.reg_param, made.normalize_ink) == (7, (0.001,), False)
    assert made.tap_layers == ("block3", "head")
    assert made.weights == "a=b.pth"


def test_a_setting_leaves_the_recipe_itself_alone() -> None:
    assert recipe("digits", ["max_iter=7"]) != recipe("digits") == RECIPES["digits"]


def test_the_last_of_equal_keys_holds() -> None:
    assert recipe("digits", ["max_iter=7", "max_iter=8"]).max_iter == 8


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with refused("unknown recipe 'digit'", "did you mean digits"):
        recipe("digit")
    with refused("unknown recipe 'qqq'", "digits, digits-large, original, photos"):
        recipe("qqq")


def test_an_unknown_key_offers_the_nearest() -> None:
    with refused("unknown recipe setting 'maxIter'", "did you mean max_iter?"):
        recipe("digits", ["maxIter=5"])


@pytest.mark.parametrize("key", ["name", "summary"])
def test_what_a_recipe_is_called_cannot_be_set(key: str) -> None:
    with refused(f"unknown recipe setting {key!r}"):
        recipe("digits", [f"{key}=mine"])


def test_a_setting_without_a_value_is_refused() -> None:
    with refused("--set KEY=VALUE", "'max_iter'"):
        recipe("digits", ["max_iter"])


@pytest.mark.parametrize(
    "setting",
    [
        "max_iter=many",
        "max_iter=0",
        "input_size=0",
        "input_size=96.5",
        "ink_margin=-1",
        "ink_margin=3",
        "reg_param=-1",
        "reg_param=nan",
        "reg_param=inf",
        "elastic_net_param=1.5",
        "normalize_ink=perhaps",
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_names_key_and_value(setting: str) -> None:
    key, _, value = setting.partition("=")
    with refused(f"--set {key}: ", f"received {value!r}"):
        recipe("digits", [setting])


def test_several_values_of_the_regularisation_are_candidates() -> None:
    assert recipe("digits", ["reg_param=0.3, 0.1"]).reg_param == (0.3, 0.1)


def test_the_classifier_s_own_params_are_set_by_their_names() -> None:
    made = recipe("digits", ["classifier=RandomForestClassifier", "classifier.numTrees=50"])
    assert (made.classifier, made.classifier_params) == ("RandomForestClassifier", {"numTrees": "50"})


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["normalize_ink=false", "augmentations=1"], "they need normalize_ink=true"),
        (["epochs=3"], "epochs needs model_name=InkNet"),
        (["normalize_ink=false", "augmentations=0", "model_name=InkNet", "epochs=3"], "InkNet takes cropped ink"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_with_the_reason(settings: list[str], why: str) -> None:
    with refused(f"recipe digits: {why}" if why.startswith("I") else why):
        recipe("digits", settings)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("model_name=InceptionV4", "unknown network 'InceptionV4': did you mean InceptionV3"),
        ("classifier=LinearSVC", "unknown classifier 'LinearSVC'"),
        ("pooling=3x4", "received '3x4'"),
        ("scale_hint=SCALE_FASTER", "unknown scale hint 'SCALE_FASTER': did you mean SCALE_FAST"),
        ("augmentation_kind=hands", "received 'hands'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_reason(setting: str, why: str) -> None:
    with refused(why):
        recipe("digits", [setting])


def test_the_classifiers_are_those_of_spark_ml_with_probabilities() -> None:
    with_probabilities = {
        name
        for name, kind in vars(classification).items()
        if isinstance(kind, type)
        and issubclass(kind, Estimator)
        and issubclass(kind, HasProbabilityCol)
        and not (isabstract(kind) or name.startswith("_"))
    }
    assert set(CLASSIFIERS) == with_probabilities
