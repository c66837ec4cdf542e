"""The recipes: which network looks at an image, at what size, and which classifier learns from what it sees."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sparkdl.errors import RequestError, unknown


def _split_names(value: object) -> object:
    return tuple(name.strip() for name in value.split(",")) if isinstance(value, str) else value


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
    max_iter: int = Field(default=100, ge=1, description="LogisticRegression's maxIter")
    reg_param: float = Field(ge=0, description="LogisticRegression's regParam")
    elastic_net_param: float = Field(default=0.0, ge=0, le=1, description="LogisticRegression's elasticNetParam")


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
            reg_param=0.25,
        ),
        Recipe(
            name="photos",
            summary="general images: the last layer of EfficientNet-Lite0, averaged; no download",
            normalize_ink=False,
            model_name="EfficientNetLite0",
            input_size=224,
            tap_layers=("head",),
            pooling="average",
            reg_param=0.01,
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
            reg_param=0.03,
            elastic_net_param=0.5,
        ),
    )
}
DEFAULT = "digits"


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
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise RequestError(f"expected --set KEY=VALUE, received {setting!r}")
        if key not in Recipe.model_fields or key in {"name", "summary"}:
            raise unknown("recipe setting", key, set(Recipe.model_fields) - {"name", "summary"})
        changes[key] = value
    try:
        return Recipe.model_validate({**base.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"--set {first['loc'][0]}: {first['msg'].lower()}, received {first['input']!r}") from error
