"""Another user of this machine, who attacks: commands under the user id of `nobody`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from needs import need

UID = 65534


def as_another_user(script: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a shell script, with `arguments` as `$1`, `$2`, ..., as a user without any right of this one."""
    need(os.geteuid() == 0, "only root can run commands as another user")
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *map(str, arguments)],
        user=UID,
        group=UID,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=check,
    )


@contextmanager
def shared_directory(mode: int = 0o1777) -> Iterator[Path]:
    """A directory that other users reach, as `/tmp` is: pytest's own are closed to them."""
    directory = Path(tempfile.mkdtemp())
    try:
        directory.chmod(mode)
        yield directory
    finally:
        shutil.rmtree(directory)
