"""Promises of `sparkdl.errors`: one base, and a wrong name is answered with the nearest right ones."""

from __future__ import annotations

import pytest

from sparkdl.errors import RequestError, SparkdlError, unknown

NETWORKS = ("InceptionV3", "Xception", "VGG16", "VGG19")


@pytest.mark.parametrize(
    ("received", "answer"),
    [
        ("InceptionV4", "unknown network 'InceptionV4': did you mean InceptionV3"),
        ("inceptionv3", "unknown network 'inceptionv3': did you mean InceptionV3"),
        ("vgg", "unknown network 'vgg': did you mean VGG19 or VGG16?"),
        ("MobileNet", "unknown network 'MobileNet': expected one of InceptionV3, VGG16, VGG19, Xception"),
        ("", "unknown network '': expected one of InceptionV3, VGG16, VGG19, Xception"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_or_with_all(received: str, answer: str) -> None:
    error = unknown("network", received, NETWORKS)
    assert isinstance(error, RequestError)
    assert str(error).startswith(answer)


def test_names_that_differ_in_case_alone_are_all_offered() -> None:
    assert str(unknown("label", "AB", ["ab", "Ab", "zz"])).startswith("unknown label 'AB': did you mean")


def test_a_wrong_request_is_also_a_value_error() -> None:
    assert issubclass(RequestError, SparkdlError)
    assert issubclass(RequestError, ValueError)
