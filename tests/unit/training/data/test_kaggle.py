"""Data sets of Kaggle's: how one is called, and what is said where it cannot be had."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from refusals import refused

from training.data.loading import open_dataset

NO_NAMES = """
numta
/numta
BengaliAI/
BengaliAI/numta/
BengaliAI/numta/train
BengaliAI/numta/versions/0
../numta
Bengali AI/numta
https://kaggle.com/BengaliAI/numta
"""


@pytest.mark.parametrize("name", ["", "BengaliAI/numta\n", *NO_NAMES.split("\n")[1:-1]])
def test_what_is_no_name_of_a_data_set_is_refused(name: str) -> None:
    with refused("expected kaggle:OWNER/NAME", repr(f"kaggle:{name}")):
        open_dataset(f"kaggle:{name}")


@pytest.mark.skipif(find_spec("kagglehub") is not None, reason="kagglehub is installed")
@pytest.mark.parametrize("name", ["BengaliAI/numta", "BengaliAI/numta/versions/3", "some-one_2/digits"])
def test_without_kagglehub_it_is_said_what_to_install(name: str) -> None:
    with refused(f"kaggle:{name}", "pip install 'sparkdl-streaming[kaggle]'"):
        open_dataset(f"kaggle:{name}")
