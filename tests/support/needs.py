"""What a test needs of the machine: where it is missing the test is skipped, but fails in CI, which has it all."""

from __future__ import annotations

import os

import pytest


def need(there: object, otherwise: str) -> None:
    """Skips the running test, or the module that is imported, unless `there`; `otherwise` says what is missing."""
    if there:
        return
    assert os.environ.get("CI") != "true", f"{otherwise}: nothing that can run in CI is skipped"
    pytest.skip(otherwise, allow_module_level=True)
