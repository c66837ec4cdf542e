"""A Jupyter notebook as a Markdown page, with its saved outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def notebook_to_markdown(text: str) -> str:
    """Return the page of a notebook, given as JSON: its texts, its code and the saved outputs."""
    return "\n\n".join(part for cell in json.loads(text)["cells"] for part in _parts(cell)) + "\n"


def _parts(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif source.strip():
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            yield from _output(output)


def _output(output: dict[str, Any]) -> Iterator[str]:
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join("".join(data["image/png"]).split())
        yield f'<img alt="The plot that the code above draws" src="data:image/png;base64,{picture}">'
    elif text := "".join(output.get("text", data.get("text/plain", []))).rstrip():
        yield f"```text\n{text}\n```"
