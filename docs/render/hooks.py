"""MkDocs hooks: fill in what is generated from the code, and turn notebooks into pages.

A page names generated text by a comment on a separate line, `<!-- generate: NAME -->`; `generated_text.GENERATORS` has
the names. Run by `make docs`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from generated_text import GENERATORS
from mkdocs.structure.files import File
from notebook_page import notebook_to_markdown

_MARK = re.compile(r"^<!-- generate: ([\w-]+) -->$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Replace each notebook by a page."""
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            text = notebook_to_markdown(Path(file.abs_src_path).read_text(encoding="utf-8"))
            name = Path(file.src_uri).name
            text = text.replace("\n", f'\n\n<a href="../{name}" download>Download this notebook</a>\n', 1)
            files.append(File.generated(config, file.src_uri.removesuffix(".ipynb") + ".md", content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in generated text; links to notebooks lead to their pages."""
    markdown = _MARK.sub(lambda mark: GENERATORS[mark[1]](), markdown)
    return re.sub(r"\]\(([\w./-]+)\.ipynb\)", r"](\1.md)", markdown)
