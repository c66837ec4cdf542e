"""Recipes: the network, input size and classifier of a model, and their settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sparkdl.errors import RequestError, unknown
from sparkdl.networks.backbones import backbone
from sparkdl.networks.pooling import grid_of
from sparkdl.networks.spec import SCALE_HINTS

CLASSIFIERS = (
    "DecisionTreeClassifier",
    "FMClassifier",
    "GBTClassifier",
    "LogisticRegression",
    "MultilayerPerceptronClassifier",
    "NaiveBayes",
    "RandomForestClassifier",
)
"""Spark ML's classifiers with a probability column. FMClassifier and GBTClassifier accept two classes only."""


def _split_names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _split_numbers(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return (value,) if isinstance(value, int | float) else value


class Recipe(BaseModel):
    """How to train a model on labelled images.

    Every field except `name` and `summary` can be set with `--set KEY=VALUE`.

    Raises
    ------
    pydantic.ValidationError
        If a value has the wrong type or range, is an unknown name, or contradicts another setting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    name: str
    summary: str
    normalize_ink: bool = Field(description="crop handwriting to its ink, bright on black, before the network")
    ink_margin: float = Field(
        default=0.1, ge=0, le=2, description="margin around the ink, as a fraction of its longer side"
    )
    model_name: str = Field(description="the network, as DeepImageFeaturizer's modelName")
    input_size: int = Field(ge=1, description="side of the square that images are resized to, pixels")
    scale_hint: str = Field(default="SCALE_DEFAULT", description="how images are resized")
    tap_layers: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = Field(
        description="layers of the network whose outputs are the features, separated by commas"
    )
    pooling: str = Field(description="none, average or a grid such as 3x3")
    weights: str | None = Field(default=None, description="a file of weights; default: the published ones")
    precision: Literal["float32", "int8"] = Field(
        default="float32", description="number type of the network; int8 is faster and slightly less accurate"
    )
    augmentations: int = Field(default=0, ge=0, description="augmented versions of each image to train on")
    augmentation_kind: Literal["handwriting", "scan"] = Field(
        default="scan", description="what augmentation varies: handwriting and pen, or paper and scanner too (scan)"
    )
    epochs: int = Field(default=0, ge=0, description="training epochs of InkNet; 0 trains no network")
    classifier: str = Field(default="LogisticRegression", description="a classifier of pyspark.ml.classification")
    classifier_params: dict[str, str] = Field(
        default_factory=dict, description="the classifier's Params, each set by classifier.PARAM=VALUE"
    )
    max_iter: int = Field(default=100, ge=1, description="the classifier's maxIter, if it has one")
    reg_param: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_split_numbers)] = Field(
        min_length=1,
        description="the classifier's regParam, if it has one; of several values cross-validation chooses the best",
    )
    elastic_net_param: float = Field(
        default=0.0, ge=0, le=1, description="the classifier's elasticNetParam, if it has one"
    )
    calibrate: bool = Field(
        default=True, description="calibrate the confidence and choose a review threshold, on holdout predictions"
    )
    review_error: float = Field(
        default=0.01, ge=0, lt=1, description="error rate to allow among auto-accepted predictions"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        backbone(self.model_name)
        grid_of(self.pooling)
        if self.scale_hint not in SCALE_HINTS:
            raise unknown("scale hint", self.scale_hint, SCALE_HINTS)
        if self.classifier not in CLASSIFIERS:
            raise unknown("classifier", self.classifier, CLASSIFIERS)
        if self.augmentations and not self.normalize_ink:
            raise ValueError("augmentations are of handwriting: they need normalize_ink=true")
        if self.epochs and self.model_name != "InkNet":
            raise ValueError("only InkNet can be trained: epochs needs model_name=InkNet")
        if self.epochs and not self.normalize_ink:
            raise ValueError("InkNet takes cropped ink: it needs normalize_ink=true")
        return self

    @property
    def trains_network(self) -> bool:
        """Whether Keras trains the network itself, not only Spark ML the classifier."""
        return self.epochs > 0


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="digits",
            summary="handwritten digits: ink crop, two layers of EfficientNet-Lite0 in a 3 x 3 grid; no download",
            normalize_ink=True,
            model_name="EfficientNetLite0",
            input_size=96,
            tap_layers=("block7", "block14"),
            pooling="3x3",
            augmentations=3,
            augmentation_kind="handwriting",
            max_iter=40,
            reg_param=(0.1,),
        ),
        Recipe(
            name="digits-large",
            summary="handwritten characters, thousands of images: InkNet, trained with Keras; needs TensorFlow",
            normalize_ink=True,
            model_name="InkNet",
            input_size=32,
            scale_hint="SCALE_DEFAULT",
            tap_layers=("embedding",),
            pooling="none",
            augmentations=6,
            epochs=18,
            reg_param=(0.01,),
        ),
        Recipe(
            name="photos",
            summary="general images: the last layer of EfficientNet-Lite0, averaged; no download",
            normalize_ink=False,
            model_name="EfficientNetLite0",
            input_size=224,
            tap_layers=("head",),
            pooling="average",
            reg_param=(0.01,),
        ),
        Recipe(
            name="original",
            summary="the 2019 notebook: InceptionV3 at 299 px, last block flattened, elastic net after 5 iterations",
            normalize_ink=False,
            model_name="InceptionV3",
            input_size=299,
            scale_hint="SCALE_AREA_AVERAGING",
            tap_layers=("mixed10",),
            pooling="none",
            max_iter=5,
            reg_param=(0.03,),
            elastic_net_param=0.5,
            calibrate=False,
        ),
    )
}
DEFAULT = "digits"
_SETTABLE = set(Recipe.model_fields) - {"name", "summary", "classifier_params"}


def recipe(name: str, settings: Iterable[str] = ()) -> Recipe:
    """Return the recipe called `name` with `settings` applied.

    Parameters
    ----------
    name
        A key of `RECIPES`.
    settings
        "key=value" each; `classifier.PARAM=VALUE` sets a Param of the classifier. If a key is repeated, the last wins.

    Raises
    ------
    RequestError
        If the recipe or a key is unknown (the message offers the nearest names), or a value does not fit its key.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    base = RECIPES[name]
    changes: dict[str, str] = {}
    params: dict[str, str] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise RequestError(f"expected --set KEY=VALUE, received {setting!r}")
        owner, dot, param = key.partition(".")
        if dot and owner == "classifier":
            params[param] = value
            continue
        if key not in _SETTABLE:
            raise unknown("recipe setting", key, _SETTABLE)
        changes[key] = value
    if (network := changes.get("model_name", base.model_name)) != base.model_name:
        own = backbone(network)  # the layer and the size of another network are seldom those of this one
        changes.setdefault("tap_layers", own.tap_layer)
        changes.setdefault("input_size", str(own.input_size[0]))
    try:
        return Recipe.model_validate({**base.model_dump(), "classifier_params": params, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise RequestError(f"recipe {name}: {first['ctx']['error']}") from error
        raise RequestError(f"--set {first['loc'][0]}: {first['msg'].lower()}, received {first['input']!r}") from error
