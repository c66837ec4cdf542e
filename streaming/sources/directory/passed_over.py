"""Files that a watched directory leaves out, passed from the process that lists it to the one that reports them.

`left-out.json` in the checkpoint has the counts and first names of the last listing. It is not part of the stream's
progress: a stream continues if the file is missing or damaged.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from sparkdl.system.files import write_atomically
from sparkdl.system.left_out import LeftOut, NamedCount, Why
from streaming.checkpoint_files import FAULTS, parse, read_entry
from streaming.sources.directory.file_log import make_directory

_FILE = "left-out.json"
_LARGEST = 1 << 16  # bytes
_REPORTED = 10  # maximum number of logged folders and files that cannot be listed


class PassedOver:
    """Records and logs the files and folders that are left out.

    Parameters
    ----------
    directory
        The directory of the file log.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._recorded: LeftOut | None = None
        self._reported: set[str] = set()

    def record(self, left_out: LeftOut) -> None:
        """Write what a listing left out, if it differs from the last record."""
        if left_out == self._recorded or (not left_out and not self._path.exists()):
            return
        entries = {why.value: [named.count, named.names] for why, named in left_out.reasons.items()}
        with suppress(OSError):  # if the checkpoint cannot be written, writing the progress fails
            make_directory(self._path.parent)
            write_atomically(self._path, json.dumps(entries), partial=f".{_FILE}.{os.getpid()}")
            self._recorded = left_out

    def report(self, name: str, error: OSError) -> None:
        """Log a folder or file that cannot be listed: each one once, and only the first `_REPORTED`."""
        if name not in self._reported and len(self._reported) < _REPORTED:
            self._reported.add(name)
            from streaming.monitoring.log import BatchLog  # tasks import this module and do not need the log

            BatchLog().not_listed(name, error.strerror or str(error))


def read_left_out(directory: Path) -> LeftOut:
    """Return what the last listing left out; an empty `LeftOut` if that is not known."""
    left_out = LeftOut()
    try:
        for why, (count, names) in parse(read_entry(directory / _FILE, _LARGEST)).items():
            left_out.reasons[Why(why)] = NamedCount(int(count), [str(name) for name in names])
    except (*FAULTS, AttributeError):
        return LeftOut()
    return left_out
