"""Kaggle datasets: their addresses, and the messages if one is not available."""

from __future__ import annotations

import sys

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
def test_a_malformed_address_is_refused(name: str) -> None:
    with refused("expected kaggle:OWNER/NAME", repr(f"kaggle:{name}")):
        open_dataset(f"kaggle:{name}")


@pytest.mark.parametrize("name", ["BengaliAI/numta", "BengaliAI/numta/versions/3", "some-one_2/digits"])
def test_a_missing_kagglehub_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # as if it were not installed
    with refused(f"kaggle:{name}", "pip install 'sparkdl-streaming[kaggle]'"):
        open_dataset(f"kaggle:{name}")
