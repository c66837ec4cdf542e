"""Promise of `sparkdl.system.file_uris`: a URI leads back to its file."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from sparkdl.system.file_uris import origin_of, path_of


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
def test_a_uri_leads_back_to_a_path_of_any_bytes(name: bytes) -> None:
    origin = origin_of(os.fsdecode(name))
    assert origin.startswith("file:")
    assert origin.isascii()
    assert os.fsencode(path_of(origin)) == name
