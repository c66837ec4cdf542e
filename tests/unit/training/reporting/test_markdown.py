"""Words from outside in Markdown: a reader of Markdown gives them back as they were, and as nothing but words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from sparkdl.system.terminal import printable
from training.reporting.markdown import cell, count, number, table, with_interval

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read_cells(lines: list[str]) -> list[str]:
    """The words of the cells of the only table in `lines`; fails where there is anything but words."""
    tokens = READER.parse("\n".join(lines))
    assert (tokens[0].type, tokens[-1].type) == ("table_open", "table_close")
    inline = [token for token in tokens if token.type == "inline"]
    for token in inline:
        assert {child.type for child in token.children or []} <= {"text", "text_special"}
    return ["".join(child.content for child in token.children or []) for token in inline]


@given(
    st.lists(st.text(alphabet=st.one_of(st.sampled_from("|*_`[]()!<>&;#~\\-\n $:/ab"), st.characters())), min_size=1)
)
def test_cells_hold_any_words(words: list[str]) -> None:
    header = [f"column {i}" for i in range(len(words))]
    shown = [printable(" ".join(word.split())) for word in words]
    cells = read_cells(table(header, [words]))
    assert cells[: len(words)] == header
    for found, expected in zip(cells[len(words) :], shown, strict=True):
        assert found == expected if len(expected) <= 200 else found == f"{expected[:199]}…"


@pytest.mark.parametrize(
    "words", ["![x](https://example.org)", "<b>", "*a*", "_a_", "__0__", "~~a~~", "a_b", "`c`", "&lt;"]
)
def test_words_stay_words(words: str) -> None:
    assert read_cells(table(["x"], [[words]])) == ["x", words]


def test_a_name_of_a_setting_is_left_as_it_is() -> None:
    assert cell("input_size") == "input_size"
    assert cell(["block7", "block14"]) == "block7, block14"


def test_figures_have_their_digits_and_intervals() -> None:
    assert number(0.12345) == "0.1235"
    assert number(None) == "-"
    assert with_interval(0.5, [0.4, 0.6], 3) == "0.500 (0.400 to 0.600)"
    assert with_interval(0.05, [-0.1, 0.2], 2, sign=True) == "+0.05 (-0.10 to +0.20)"
    assert with_interval(0.5, None) == "0.5000"


def test_one_of_a_kind_is_singular() -> None:
    assert [count(n, "image") for n in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
