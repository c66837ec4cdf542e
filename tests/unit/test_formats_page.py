"""The tables of formats in docs/reference/formats.md say what the decoder does."""

from __future__ import annotations

import subprocess
import sys

from needs import need
from paths import ROOT
from pictures import HAS_HEIC
from PIL import features


def test_the_tables_of_formats_are_up_to_date() -> None:
    need(HAS_HEIC and features.check("avif"), "AVIF or the extra heif is missing")
    command = [sys.executable, "docs/formats.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
