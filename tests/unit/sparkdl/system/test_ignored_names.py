"""Promises of `sparkdl.system.ignored_names`: which names are left alone, and what a pattern matches."""

from __future__ import annotations

import re
import unicodedata

import pytest
from paths import ROOT
from refusals import refused

from sparkdl.system.ignored_names import TEMPORARY, IgnoredNames
from sparkdl.system.left_out import Why


def reason(path: str, *patterns: str) -> Why | None:
    """Of a file, or of a folder if the path ends with a slash."""
    folder, _, name = path.removesuffix("/").rpartition("/")
    below = f"{folder}/" if folder else ""
    return IgnoredNames(patterns).reason(below, name, is_folder=path.endswith("/"))


@pytest.mark.parametrize(
    "name", ["a.png", "_DSC0001.JPG", "_background_/", "a~1.png", "part", "a.part.png", "notes.txt", "a.tmp.jpg"]
)
def test_names_of_images_and_folders_are_not_left_alone(name: str) -> None:
    assert reason(name) is None


@pytest.mark.parametrize("name", [".a.png", "deep/.DS_Store", "._a.png", ".cache/"])
def test_a_leading_dot_hides(name: str) -> None:
    assert reason(name) is Why.HIDDEN


@pytest.mark.parametrize("pattern", TEMPORARY)
def test_each_temporary_name_is_left_alone_in_any_letter_case(pattern: str) -> None:
    for name in (pattern.replace("*", "photo.png"), pattern.replace("*", "photo.png").upper()):
        assert reason(f"deep/{name}") is Why.TEMPORARY
        assert reason(f"deep/{name}/") is Why.TEMPORARY


def test_the_list_of_temporary_names_is_the_documented_one() -> None:
    page = (ROOT / "docs" / "reference" / "data.md").read_text()
    page = page.partition("## What is an image file")[2].partition("\n## ")[0]
    documented = {name.lower() for name in re.findall(r"`([^`\n]+)`", page)}
    assert {pattern.replace("\r", "\\r") for pattern in TEMPORARY} <= documented


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.bak", "a.bak", True),
        ("*.bak", "deep/a.bak", True),
        ("*.bak", "deep/a.bak/", True),
        ("*.bak", "a.bak.png", False),
        ("*.bak", "a.BAK", False),
        ("raw/", "deep/raw/", True),
        ("raw/", "deep/raw", False),
        ("raw", "deep/raw", True),
        ("?.png", "a.png", True),
        ("?.png", "ab.png", False),
        ("[a-c].png", "b.png", True),
        ("[!a-c].png", "b.png", False),
        ("[!a-c].png", "d.png", True),
        ("[a.png", "[a.png", True),
        (r"\*.png", "*.png", True),
        (r"\*.png", "a.png", False),
        ("(a|b).png", "a.png", False),
        ("raw/*.png", "raw/a.png", True),
        ("raw/*.png", "raw/deep/a.png", False),
        ("raw/*.png", "deep/raw/a.png", False),
        ("raw/**", "raw/deep/a.png", True),
        ("**/masks/*.png", "masks/a.png", True),
        ("**/masks/*.png", "a/b/masks/c.png", True),
        ("a/**/z.png", "a/z.png", True),
        ("a/**/z.png", "a/b/c/z.png", True),
        ("/old", "old/", True),
        ("/old", "deep/old/", False),
        ("two words*", "two words.png", True),
    ],
)
def test_a_pattern_matches_as_in_a_gitignore(pattern: str, path: str, matches: bool) -> None:
    assert reason(path, pattern) is (Why.IGNORED if matches else None)


def test_a_pattern_matches_a_name_however_its_letters_are_composed() -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    assert composed != decomposed
    for pattern in (composed, decomposed):
        for name in (composed, decomposed):
            assert reason(f"{name}/", f"{pattern}/") is Why.IGNORED


def test_any_of_several_patterns_is_enough() -> None:
    given = ("*.bak", "raw/x.png", "old/")
    assert [reason(path, *given) for path in ("a.bak", "raw/x.png", "old/", "x.png")] == [Why.IGNORED] * 3 + [None]


@pytest.mark.parametrize("pattern", ["", "/", "!a.png", "[z-a]"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with refused("--ignore", repr(pattern)):
        IgnoredNames(["*.bak", pattern])
