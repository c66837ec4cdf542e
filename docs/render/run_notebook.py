"""Run the notebook of the tutorial and keep its outputs: `python docs/render/run_notebook.py`.

Run it after a change of the notebook. It draws synthetic digits, so that the outputs contain no data of others.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "tutorial" / "transfer_learning.ipynb"


def run(directory: Path) -> nbformat.NotebookNode:
    """Run the notebook in a directory; return it with its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(directory)}}).execute()
    return notebook


def without_traces(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove what differs from run to run, what Spark logs, and descriptions that the site does not show."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data = {"image/png": output.data["image/png"]}
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def main() -> None:
    os.environ.pop("NUMTADB_HOME", None)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as directory:
        notebook = without_traces(run(Path(directory)))
    nbformat.write(notebook, NOTEBOOK)
    sys.stdout.write(f"{NOTEBOOK.stat().st_size >> 10} KiB\n")


if __name__ == "__main__":
    main()
