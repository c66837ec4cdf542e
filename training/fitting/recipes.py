"""The recipes: which network looks at an image, at what size, and which classifier learns from what it sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sparkdl.errors import RequestError, unknown


def _split_names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


def _split_numbers(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return (value,) if isinstance(value, int | float) else value


class Recipe(BaseModel):
    """How a model is made from labelled images. Every field can be set with `--set KEY=VALUE`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    name: str
    summary: str
    normalize_ink: bool = Field(description="crop handwriting to its ink, bright on black, before the network")
    ink_margin: float = Field(
        default=0.1, ge=0, le=2, description="space around the ink, a fraction of its longer side"
    )
    model_name: str = Field(description="the network, as DeepImageFeaturizer's modelName")
    input_size: int = Field(ge=1, description="side of the square that images are resized to, pixels")
    scale_hint: str = Field(default="SCALE_DEFAULT", description="how images are resized")
    tap_layers: Annotated[tuple[str, ...], BeforeValidator(_split_names)] = Field(
        description="layers of the network that give the features, separated by commas"
    )
    pooling: str = Field(description="none, average or a grid such as 3x3")
    weights: str | None = Field(default=None, description="a file of weights; default: the published ones")
    precision: Literal["float32", "int8"] = Field(
        default="float32", description="what the network computes with; int8: 8-bit integers, a little less exact"
    )
    copies: int = Field(default=0, ge=0, description="altered copies of each image to train on, as of other hands")
    copies_of: Literal["hands", "scans"] = Field(
        default="scans", description="what copies differ in: hand and pen (hands), or paper and scanner too (scans)"
    )
    epochs: int = Field(default=0, ge=0, description="how often InkNet looks at each image while it is trained")
    classifier: str = Field(default="LogisticRegression", description="a classifier out of pyspark.ml.classification")
    classifier_params: dict[str, str] = Field(
        default_factory=dict, description="its Params, each set by classifier.PARAM=VALUE"
    )
    max_iter: int = Field(default=100, ge=1, description="the classifier's maxIter, if it has one")
    reg_param: Annotated[tuple[Annotated[float, Field(ge=0)], ...], BeforeValidator(_split_numbers)] = Field(
        min_length=1,
        description="its regParam, if it has one; of several values the best in cross-validation is taken",
    )
    elastic_net_param: float = Field(default=0.0, ge=0, le=1, description="its elasticNetParam, if it has one")
    calibrate: bool = Field(
        default=True, description="scale the confidence, and choose a threshold for review, on images not fitted on"
    )
    review_error: float = Field(
        default=0.01, ge=0, lt=1, description="share of mistakes to allow among predictions that need no review"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.copies and not self.normalize_ink:
            raise ValueError("altered copies are of handwriting: they need normalize_ink=true")
        if self.epochs and self.model_name != "InkNet":
            raise ValueError("only InkNet is trained: epochs needs model_name=InkNet")
        if self.epochs and not self.normalize_ink:
            raise ValueError("InkNet looks at ink: it needs normalize_ink=true")
        return self

    @property
    def trains_network(self) -> bool:
        """Whether the network itself is trained, by Keras, and not only the classifier."""
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
            copies=3,
            copies_of="hands",
            max_iter=40,
            reg_param=(0.1,),
        ),
        Recipe(
            name="digits-large",
            summary="handwritten characters, thousands of images: InkNet, trained on them with Keras; needs TensorFlow",
            normalize_ink=True,
            model_name="InkNet",
            input_size=32,
            scale_hint="SCALE_DEFAULT",
            tap_layers=("embedding",),
            pooling="none",
            copies=6,
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
    """The recipe called `name` with `settings` ("key=value" each) applied.

    Raises
    ------
    RequestError
        For an unknown recipe or key (the nearest are offered), or a value that does not fit its key.
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
    try:
        return Recipe.model_validate({**base.model_dump(), "classifier_params": params, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise RequestError(f"recipe {name}: {first['ctx']['error']}") from error
        raise RequestError(f"--set {first['loc'][0]}: {first['msg'].lower()}, received {first['input']!r}") from error
