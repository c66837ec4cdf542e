"""The sink in `docs/how-to/custom-source-sink.md` runs as it is written, and writes each result once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT
from streams import BROKEN, digits

from sparkdl.models.registry import Registry
from training.data.loading import Dataset


def example() -> str:
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "custom-source-sink.md").read_text(), re.DOTALL
    )
    return str(code)


def run(directory: Path) -> list[dict[str, object]]:
    """The results after the example has run in `directory`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", example()], cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = (directory / "results").glob("*.jsonl")
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_sink_of_the_documentation_writes_each_result_once(
    tmp_path: Path, registry: Registry, drawn: Dataset
) -> None:
    (tmp_path / "models").symlink_to(registry.path)
    images = tmp_path / "images"
    images.mkdir()
    for image in digits(drawn, 5):
        (images / image.name).write_bytes(image.read())
    (images / "empty.png").write_bytes(BROKEN["nothing.png"].payload)
    results = run(tmp_path)
    assert sorted(str(row["id"]) for row in results) == sorted(path.name for path in images.iterdir())
    assert [row["reason"] for row in results if "reason" in row] == ["empty"]
    assert sum("prediction" in row for row in results) == 5
    (images / "another.png").write_bytes(digits(drawn, 1)[0].read())
    assert sorted(str(row["id"]) for row in run(tmp_path)) == sorted(path.name for path in images.iterdir())
