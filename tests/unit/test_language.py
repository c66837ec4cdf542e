"""Texts for readers are plain technical English: phrases that read like a literal translation do not occur."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from paths import ROOT

PACKAGES = ("sparkdl", "streaming", "training", "producer", "console", "benchmarks", "docs")
SUFFIXES = (".py", ".java", ".properties")
FILES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*")))
    if path.suffix in (*SUFFIXES, ".md", ".ipynb")
)
PHRASES = (
    r"of [A-Z]\w+'s(?=[.,;:)]| (?:is|are|and|that|which|in|on|to|for|with|by|than|as)\b)",
    r"anew",
    r"as ever",
    r"as good as",
    r"all the while",
    r"at the (?:most|least)",
    r"beside each other",
    r"by its hand",
    r"comes? along",
    r"for ever",
    r"in vain",
    r"(?:is|are) told",
    r"looked after",
    r"of (?:its|my|our|their) own",
    r"of (?:ours|theirs|yours)",
    r"plays? the part",
    r"says? of (?:it|the|a|an|its|their)",
    r"stands? in(?! line)",
    r"surer than",
    r"turned away",
    r"what is harmless of",
    r"whoever",
)


def text_of(path: Path) -> str:
    """The text of a file, without the signs of comments, and with strings joined across lines."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    if path.suffix == ".md":
        return text
    return re.sub(r"\"\s*\n\s*[rf]?\"", "", re.sub(r"^\s*(?:#|//|\*) ?", "", text, flags=re.MULTILINE))


TEXTS = {path.relative_to(ROOT): " ".join(text_of(path).split()) for path in FILES}


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_phrase_of_literal_translation_does_not_occur(phrase: str) -> None:
    pattern = re.compile(rf"\b{phrase}(?!\w)" if phrase.startswith("of [") else rf"(?i:\b{phrase}\b)")
    found = [
        f"{path}: {text[max(0, match.start() - 30) : match.end() + 20]!r}"
        for path, text in TEXTS.items()
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_documents_are_searched_too() -> None:
    assert {Path("README.md"), Path("docs/index.md"), Path("docs/tutorial/transfer_learning.ipynb")} <= TEXTS.keys()
