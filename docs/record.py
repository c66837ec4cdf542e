"""Draws what a command prints as an SVG picture: `python docs/record.py FILE COMMAND ...`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 88


def main() -> None:
    target, *command = sys.argv[1:]
    said = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": str(COLUMNS), "PYTHONUNBUFFERED": "1"},
    ).stdout
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text(f"$ {' '.join(command)}", style="bold"))
        for line in said.splitlines():
            console.print(Text(line, style="bold" if line[:2] in {"1.", "2.", "3.", "4."} else ""))
        picture = console.export_svg(title=" ".join(command))
    # No picture fetches fonts.
    Path(target).write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))


if __name__ == "__main__":
    main()
