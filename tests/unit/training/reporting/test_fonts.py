"""The fonts that draw class names, and the numbers that replace names no font can draw."""

from __future__ import annotations

from pathlib import Path

import pytest
from fonts import make_font

from training.reporting.fonts import FontSet

DIGITS = "০১২৩৪৫৬৭৮৯"


@pytest.fixture
def bengali(tmp_path: Path) -> Path:
    return make_font(tmp_path / "Test-Regular.ttf", DIGITS, "Test Bengali")


def test_latin_names_need_no_font_but_the_one_there_always_is(bengali: Path) -> None:
    font_set = FontSet.for_classes(["cat", "chien é", "собака", "α"], [bengali])
    assert [font.name for font in font_set.fonts] == ["DejaVuSans.ttf"]
    assert font_set.text == {name: name for name in ("cat", "chien é", "собака", "α")}
    assert font_set.numbered == ()


def test_a_font_that_has_the_letters_is_taken(bengali: Path) -> None:
    font_set = FontSet.for_classes(list(DIGITS), [bengali])
    assert font_set.families == ["DejaVu Sans", "Test Bengali"]
    assert font_set.text == {digit: digit for digit in DIGITS}


def test_without_one_a_class_is_drawn_by_its_index(bengali: Path) -> None:
    font_set = FontSet.for_classes(["০", "cat", "漢字", "১"], [])
    assert font_set.text == {"০": "#0", "cat": "cat", "漢字": "#2", "১": "#3"}
    assert font_set.numbered == ("০", "漢字", "১")
    with_bengali = FontSet.for_classes(["০", "cat", "漢字", "১"], [bengali])
    assert with_bengali.text == {"০": "০", "cat": "cat", "漢字": "#2", "১": "১"}


def test_a_name_of_which_one_letter_is_missing_is_drawn_by_its_index(bengali: Path) -> None:
    assert FontSet.for_classes(["১ক"], [bengali]).text == {"১ক": "#0"}


def test_several_fonts_are_taken_for_several_scripts_and_none_for_nothing(tmp_path: Path, bengali: Path) -> None:
    chinese = make_font(tmp_path / "Han.ttf", "漢字", "Test Han")
    useless = make_font(tmp_path / "Abc.ttf", "abc", "Test Latin")
    font_set = FontSet.for_classes(["১", "漢字"], [useless, chinese, bengali])
    assert set(font_set.families) == {"DejaVu Sans", "Test Bengali", "Test Han"}
    assert font_set.numbered == ()


def test_noto_is_preferred_to_others_and_one_with_more_letters_to_noto(tmp_path: Path, bengali: Path) -> None:
    noto = make_font(tmp_path / "NotoSansBengali-Regular.ttf", DIGITS, "Noto Sans Bengali")
    assert FontSet.for_classes(list(DIGITS), [bengali, noto]).fonts[1] == noto
    few = make_font(tmp_path / "NotoSerifBengali-Regular.ttf", "১২", "Noto Serif Bengali")
    assert FontSet.for_classes(list(DIGITS), [bengali, few]).fonts[1] == bengali


def test_bold_fonts_and_files_that_are_no_fonts_are_passed_over(tmp_path: Path) -> None:
    bold = make_font(tmp_path / "Bold.ttf", DIGITS, "Test Bengali", "Bold")
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    font_set = FontSet.for_classes(["১"], [bold, broken, tmp_path / "gone.ttf"])
    assert font_set.text == {"১": "#0"}


def test_what_joins_letters_needs_no_glyph() -> None:
    assert FontSet.for_classes(["a\u200db", "a\ufe0f"], []).numbered == ()


def test_a_name_is_drawn_in_one_line_and_without_control_characters() -> None:
    assert FontSet.for_classes(["two\nlines \x1b[2J"], []).text == {"two\nlines \x1b[2J": "two lines \\x1b[2J"}
