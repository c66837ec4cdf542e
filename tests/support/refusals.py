"""How the tests state that a request is refused: with the right error, and in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sparkdl.errors import RequestError


@contextmanager
def refused(*words: str) -> Iterator[None]:
    """The block raises a RequestError whose message is one line with all of `words` in it."""
    with pytest.raises(RequestError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
