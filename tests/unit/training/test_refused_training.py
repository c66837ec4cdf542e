"""A training run that lacks something is refused before it reads an image."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sparkdl.models.registry import Registry
from sparkdl.system.extras import MissingExtraError
from training.data.dataset import Dataset, LabelledImage
from training.fitting.recipes import recipe
from training.train import train


@pytest.mark.parametrize("name", ["digits-large", "original"])
def test_a_recipe_without_its_extra_is_refused_before_an_image_is_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as if it was not installed
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path))
    images = tuple(LabelledImage(f"{n}.png", str(n % 2), tmp_path / f"{n}.png") for n in range(10))  # none is there
    spark: Any = None
    with pytest.raises(MissingExtraError, match=r"needs TensorFlow, which is not installed: pip install 'sparkdl-str"):
        train(spark, Dataset("nowhere", images), recipe(name), Registry(tmp_path / "models"))
