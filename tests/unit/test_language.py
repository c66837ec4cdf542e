"""Docstrings, comments and messages are plain technical English, without phrases of a literal translation."""

from __future__ import annotations

import re

import pytest
from paths import ROOT

PACKAGES = ("sparkdl", "streaming", "training", "producer", "console", "benchmarks")
FILES = sorted(
    path
    for package in PACKAGES
    for pattern in ("*.py", "*.java", "*.properties")
    for path in (ROOT / package).rglob(pattern)
)
PHRASES = (
    r"of Kaggle's",
    r"anew",
    r"at the most",
    r"stands? in",
    r"looked after",
    r"comes? along",
    r"plays? the part",
    r"what is harmless of",
    r"turned away",
    r"(?:is|are) told",
    r"says? of (?:it|the|a|an|its|their)",
    r"beside each other",
    r"by its hand",
    r"in vain",
    r"whoever",
    r"as good as",
    r"all the while",
)


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_of_literal_translation_does_not_occur(phrase: str) -> None:
    pattern = re.compile(rf"\b{phrase}\b".replace(" ", r"[\s#*]+"), re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r}"
        for path in FILES
        for text in [path.read_text()]
        for match in pattern.finditer(text)
    ]
    assert found == []
