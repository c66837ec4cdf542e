"""The shell and Python snippets of the README and the documentation, and which of them are not run, with the reason."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paths import ROOT

LANGUAGES = ("sh", "python")
SAVED = {"toml": "sparkdl.toml"}
"""Languages whose snippets are saved as a file for the commands that follow."""

MEASUREMENT = "is a measurement of minutes or hours"
NOT_RUN = {
    "pip install": "changes the machine",
    "apt-get": "changes the machine",
    "make ": "is a step of CI itself, or installs",
    "docker": "needs Docker; tests/docker/compose runs the services",
    "tests/docker/": "needs Docker and root",
    "spark-submit": "needs a cluster",
    "python benchmarks/": MEASUREMENT,
    ".venv/bin/python benchmarks/": MEASUREMENT,
    "NUMTADB_HOME=... python benchmarks/": MEASUREMENT,
    "python -m sparkdl.spark.class_data_sharing": "is a step of CI itself, or installs",
    'echo "': "edits the settings of containers",
    "git ": "changes the repository",
    "uv ": "changes the repository",
    "pre-commit": "changes the repository",
}
"""Beginnings of commands that are not run, each with the reason. A comment `<!-- not run: REASON -->` above a snippet
says it for the whole snippet."""

_FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- not run: ([^>]+?) -->\s*\Z")


@dataclass(frozen=True)
class Snippet:
    """A fenced block of a page.

    Attributes
    ----------
    reason
        Why the whole snippet is not run; empty if it is run.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands of a shell snippet that are run, without comments; lines that continue are joined."""
        return tuple(command for command, reason in self._all_commands() if not reason)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the snippet is not run, or commands of it are not."""
        if self.reason or self.language != "sh":
            return (self.reason,) if self.reason else ()
        return tuple(reason for _, reason in self._all_commands() if reason)

    @property
    def is_run(self) -> bool:
        """Whether the snippet is run, at least in part."""
        return not self.reason and (self.language != "sh" or bool(self.commands))

    def _all_commands(self) -> Iterator[tuple[str, str]]:
        for line in self.text.replace("\\\n", " ").splitlines():
            command = re.sub(r"(^|\s)#.*", "", line).strip()
            if command:
                known = (reason for start, reason in NOT_RUN.items() if command.startswith(start))
                yield " ".join(command.split()), next(known, "")


def pages() -> list[str]:
    """The README, the guide for contributors and every page of the documentation, as paths below the repository."""
    documents = [path for path in (ROOT / "docs").rglob("*.md") if "site" not in path.parts]
    return [name for name in ("README.md", "CONTRIBUTING.md") if (ROOT / name).exists()] + sorted(
        str(path.relative_to(ROOT)) for path in documents
    )


def snippets_of(page: str) -> list[Snippet]:
    """The snippets of a page, in order: those of `LANGUAGES` and of `SAVED`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        mark = _MARK.search(text[: match.start()])
        if match[2] in LANGUAGES or match[2] in SAVED:
            line = text.count("\n", 0, match.start()) + 1
            found.append(Snippet(page, line, match[2], match[3], mark[1] if mark else ""))
    return found


def summary(snippets: list[Snippet]) -> str:
    """How many snippets are run and how many are not, with the reasons."""
    code = [snippet for snippet in snippets if snippet.language in LANGUAGES]
    skipped: dict[str, int] = {}
    for snippet in code:
        for reason in dict.fromkeys(() if snippet.is_run else snippet.reasons):
            skipped[reason] = skipped.get(reason, 0) + 1
    run = sum(snippet.is_run for snippet in code)
    lines = [f"snippets in README, CONTRIBUTING and docs: {run} of {len(code)} are run, {len(code) - run} are not:"]
    lines += [f"  {count:3} {reason}" for reason, count in sorted(skipped.items(), key=lambda item: -item[1])]
    in_part = sum(snippet.is_run and bool(snippet.reasons) for snippet in code)
    return "\n".join([*lines, f"of those that are run, {in_part} have commands that are not"])


def read_results(path: Path) -> dict[str, list[dict[str, str]]]:
    """The failures of each page, as `snippet_runs.py` has written them."""
    results: dict[str, list[dict[str, str]]] = json.loads(path.read_text())
    return results


if __name__ == "__main__":
    sys.stdout.write(summary([snippet for page in pages() for snippet in snippets_of(page)]) + "\n")
