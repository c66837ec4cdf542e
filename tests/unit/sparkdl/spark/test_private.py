"""Promises of `sparkdl.spark.private`: the installed pyspark has each private part, or the test names it."""

from __future__ import annotations

import inspect
import re

import pytest
from paths import ROOT

from sparkdl.errors import SparkdlError
from sparkdl.spark.private import PARTS, find


@pytest.mark.parametrize("part", PARTS)
def test_pyspark_has_each_part(part: str) -> None:
    find(part)  # its error names the part


@pytest.mark.parametrize(
    "part", ["pyspark.SparkContext._gone", "pyspark.gone.launch_gateway", "py4j.java_gateway.Gone.new_array", "gone.x"]
)
def test_a_part_that_is_gone_is_an_error_that_names_it_and_the_versions(part: str) -> None:
    with pytest.raises(SparkdlError, match=rf"^pyspark \d\S+ with py4j \d\S+ does not have {re.escape(part)}, which "):
        find(part)


def test_a_jvm_is_launched_with_the_arguments_that_are_passed() -> None:
    assert list(inspect.signature(find("pyspark.java_gateway.launch_gateway")).parameters) == ["conf", "popen_kwargs"]
    assert "gateway" in inspect.signature(find("pyspark.SparkContext._ensure_initialized")).parameters


def test_keyword_only_keeps_the_arguments_where_stages_read_them() -> None:
    assert "_input_kwargs" in inspect.getsource(find("pyspark.keyword_only"))


def test_no_other_module_uses_a_private_part_of_pyspark() -> None:
    private = re.compile(r"\._(jvm|jsc|jdf|gateway|jconf|jvm_view|resetUid|ensure_initialized|sc)\b|java_gateway")
    allowed = {"sparkdl/spark/private.py", "sparkdl/spark/callbacks.py"}
    users = {
        path.relative_to(ROOT).as_posix()
        for package in ("sparkdl", "training", "streaming", "producer", "console")
        for path in (ROOT / package).rglob("*.py")
        if private.search(path.read_text("utf-8"))
    }
    assert users <= allowed
