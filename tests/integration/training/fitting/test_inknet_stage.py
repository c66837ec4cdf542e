"""Promises of `DeepImageFeaturizer` with InkNet, whose weights a user trains."""

from __future__ import annotations

from pathlib import Path

import pytest
from inknet_weights import random_weights
from refusals import refused

from sparkdl.transformers.featurizer import DeepImageFeaturizer

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return random_weights(tmp_path / "weights.npz")


def test_without_weights_the_network_says_how_it_is_made() -> None:
    with refused("InkNet has no published weights", "digits-large"):
        DeepImageFeaturizer(modelName="InkNet").network()


def test_it_takes_images_of_one_size_only(weights: Path) -> None:
    with refused("InkNet takes images of 32 x 32 pixels, not (48, 48)"):
        DeepImageFeaturizer(modelName="InkNet", inputSize=48).setWeights(str(weights)).network()


def test_a_frozen_stage_does_not_name_the_file_of_its_weights(weights: Path) -> None:
    stage = DeepImageFeaturizer(modelName="InkNet").setWeights(str(weights))
    content = stage.network()
    stage.freeze()
    weights.unlink()
    assert stage.getWeights() is None
    assert stage.network() == content
