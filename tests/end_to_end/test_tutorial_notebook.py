"""The notebook of the tutorial runs from start to end, and its saved outputs are small."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from paths import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial" / "transfer_learning.ipynb"


@pytest.mark.slow  # a kernel that starts its own Spark; on the real digits where NUMTADB_HOME is set
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "results" / "predictions").is_dir()
    text = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    assert "unsupported_format" in text
    assert text.count("image/png") >= 3


def test_the_notebook_has_small_outputs_without_paths_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 1 << 20
    assert "image/png" in text
    assert "/tmp/" not in text
    assert "/home/" not in text
