"""The site of the documentation: notebooks become pages, and assets of other servers are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from check_site import foreign_assets
from notebook_page import notebook_to_markdown


@pytest.mark.parametrize(
    ("name", "text", "is_foreign"),
    [
        ("index.html", '<script src="https://example.org/a.js"></script>', True),
        ("index.html", '<link rel="stylesheet" href="//example.org/a.css">', True),
        ("index.html", '<img src="http://example.org/a.png">', True),
        ("a.css", "@font-face { src: url(https://example.org/a.woff2) }", True),
        ("a.css", '@import "https://example.org/a.css";', True),
        (
            "index.html",
            '<a href="https://example.org">a link</a><img src="a.png"><img src="data:image/png;base64,">',
            False,
        ),
        ("index.html", '<link rel="canonical" href="https://example.org/"><script src="../a.js"></script>', False),
    ],
)
def test_an_asset_of_another_server_is_found(name: str, text: str, is_foreign: bool, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert bool(list(foreign_assets(tmp_path))) == is_foreign


def test_a_notebook_becomes_a_page_with_its_outputs() -> None:
    output = {"output_type": "execute_result", "data": {"text/plain": ["42"]}}
    plot = {"output_type": "display_data", "data": {"image/png": "aGVs\nbG8=", "text/plain": ["<Figure>"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["x = 42\n", "x"], "outputs": [output, plot]},
        {"cell_type": "code", "source": [], "outputs": []},
    ]
    page = notebook_to_markdown(json.dumps({"cells": cells}))
    assert page.startswith("# Title\ntext\n\n```python\nx = 42\nx\n```\n\n```text\n42\n```\n")
    assert 'src="data:image/png;base64,aGVsbG8="' in page
    assert "Figure>" not in page
