"""The snippets of the README and the documentation run as they are written, or say why they do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from paths import ROOT, TESTS
from snippets import LANGUAGES, MEASUREMENT, pages, read_results, snippets_of

RUN = [page for page in pages() if any(s.is_run and s.language in LANGUAGES for s in snippets_of(page))]


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """The failed snippets of each page: one process runs the pages one after the other, on one Spark."""
    directory = tmp_path_factory.mktemp("pages")
    results = tmp_path_factory.mktemp("results") / "failures.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    command = [sys.executable, str(TESTS / "support" / "snippet_runs.py"), str(directory), str(results), *RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return read_results(results)


# They start another Java and another broker, since Spark takes relative paths from where its JVM was started.
@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_snippets_of_a_page_run(page: str, failures: dict[str, list[dict[str, str]]]) -> None:
    assert "\n\n".join(f"{page}:{f['line']}\n{f['snippet']}{f['problem']}" for f in failures[page]) == ""


def test_a_snippet_that_is_not_run_says_why() -> None:
    code = [s for page in pages() for s in snippets_of(page) if s.language in LANGUAGES]
    assert all(snippet.is_run or snippet.reasons for snippet in code)
    others = [snippet for snippet in code if MEASUREMENT not in snippet.reasons]  # tests/unit/test_docs.py checks those
    assert sum(snippet.is_run for snippet in others) * 2 > len(others)
