"""The feature extractor of a recipe: its network, and its pipeline stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.networks.builder import build_network, check_network_available
from sparkdl.networks.spec import NetworkSpec
from sparkdl.system.extras import require_extra
from training.fitting.recipes import Recipe

if TYPE_CHECKING:
    from pyspark.ml import Transformer


def check_requirements(recipe: Recipe) -> None:
    """Check that the requirements of `recipe` are installed, without reading an image or building a network.

    Raises
    ------
    RequestError
        If an extra or a file of weights is missing, or the recipe has an unknown network or pooling.
    """
    if recipe.trains_network:
        require_extra("keras", f"the recipe {recipe.name}")
    else:
        check_network_available(_spec(recipe))


def prepare_network(recipe: Recipe) -> None:
    """Build the recipe's network and cache it; needs no Spark, and can take a while the first time.

    A recipe that trains its own network needs no preparation.

    Raises
    ------
    RequestError
        If the recipe has an unknown network, layer or pooling, or an input size that the network does not accept.
    """
    if not recipe.trains_network:
        build_network(_spec(recipe))


def _spec(recipe: Recipe) -> NetworkSpec:
    size = (recipe.input_size, recipe.input_size)
    return NetworkSpec(
        recipe.model_name, size, recipe.tap_layers, recipe.pooling, recipe.weights, grayscale=recipe.normalize_ink
    )


def feature_stages(recipe: Recipe, weights: Path | None = None) -> list[Transformer]:
    """Return the stages of `recipe` from the column `image` to the column `features`.

    Parameters
    ----------
    weights
        A file with the network's weights; overrides the recipe's.
    """
    from sparkdl.transformers.featurizer import DeepImageFeaturizer
    from sparkdl.transformers.ink_normalizer import InkNormalizer

    stages: list[Transformer] = []
    if recipe.normalize_ink:
        stages.append(InkNormalizer(inputCol="image", outputCol="ink", margin=recipe.ink_margin))
    featurizer = DeepImageFeaturizer(
        inputCol="ink" if recipe.normalize_ink else "image",
        outputCol="features",
        modelName=recipe.model_name,
        scaleHint=recipe.scale_hint,
        inputSize=recipe.input_size,
        tapLayers=list(recipe.tap_layers),
        pooling=recipe.pooling,
        colorMode="grayscale" if recipe.normalize_ink else "color",
    )
    if weights is not None:
        featurizer.setWeights(str(weights))
    elif recipe.weights is not None:
        featurizer.setWeights(recipe.weights)
    return [*stages, featurizer]
