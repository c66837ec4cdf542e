"""Cleanup of files that were read: archives or deletes them once their micro-batch is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path, PurePosixPath

from sparkdl.errors import RequestError
from streaming.checkpoint_files import FAULTS, parse, read_entry
from streaming.sources.directory.file_log import FileLog, damaged
from streaming.sources.directory.listing import WatchedFile

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_archive(watched: Path, archive: Path) -> None:
    """Check that files of `watched` can be moved to `archive`.

    Raises
    ------
    RequestError
        If files cannot be renamed there, or would be read again there.
    """
    watched, archive = watched.resolve(), archive.resolve()
    hidden = watched / ".archive"
    if watched.is_relative_to(archive):
        raise RequestError(f"--archive-dir: {archive} contains the watched directory; name one next to it, or {hidden}")
    if archive.is_relative_to(watched) and not any(part.startswith(".") for part in archive.relative_to(watched).parts):
        raise RequestError(
            f"--archive-dir: {archive} is in the watched directory, so that archived files would be read again; "
            f"name one outside, or one whose name begins with a dot, such as {hidden}"
        )
    existing = next(path for path in (archive, *archive.parents) if path.exists())
    if not existing.is_dir():
        raise RequestError(f"--archive-dir: expected a directory, received the file {existing}")
    if existing.stat().st_dev != watched.stat().st_dev:
        raise RequestError(
            f"--archive-dir: {archive} is on another file system than {watched}, so files cannot be renamed; "
            f"name one on the same, such as {hidden}"
        )


def completed_logs(checkpoint: Path) -> int:
    """Return the number of the last log whose files are all in the sink, from Spark's commits in `checkpoint`.

    Raises
    ------
    SparkdlError
        If the commits cannot be read.
    """
    commits = checkpoint / "commits"
    complete = [int(path.name) for path in commits.iterdir() if path.name.isdecimal()] if commits.is_dir() else []
    if not complete:
        return 0
    noted = checkpoint / "offsets" / str(max(complete))
    try:
        return int(parse(read_entry(noted).splitlines()[-1])["logs"])
    except FAULTS as error:
        raise damaged(noted, str(error)) from error


class Cleanup:
    """Archives or deletes files that were read.

    Parameters
    ----------
    watched
        The watched directory.
    archive
        The directory to move files to, under the same relative paths; None to delete them.
    max_bytes
        Maximum bytes that are read of a file. A longer file is not deleted, because it is the only copy of its bytes.
    """

    def __init__(self, watched: Path, archive: Path | None, max_bytes: int) -> None:
        self._watched = watched
        self._archive = archive
        self._max_bytes = max_bytes
        self._reported = False

    def run(self, log: FileLog, complete: int) -> None:
        """Clean up the files of the logs up to `complete`.

        The cleanup can be repeated if the process died during it. A file that cannot be removed stays; only the first
        is logged. A file that has changed since it was listed stays too. Its name is forgotten, so it is read again.
        """
        if log.done is None or complete <= log.done:
            return
        gone, left = list[str](), list[str]()
        for number in range(log.done + 1, complete + 1):
            for file in log.read(number):
                try:
                    stays = self._remove(file)
                except OSError as error:
                    stays = True
                    self._report(error)
                (left if stays else gone).append(file.name)
        log.record_cleanup(complete, gone, left)

    def _remove(self, file: WatchedFile) -> bool:
        """Archive or delete a file; return whether it stays in place and must not be read again."""
        name = PurePosixPath(file.name)
        try:
            with _folder(self._watched, name.parent) as folder:
                try:
                    if not file.is_same(os.stat(name.name, dir_fd=folder)):
                        return False
                    if self._archive:
                        with _folder(self._archive, name.parent, make=True) as place:
                            move(name.name, folder, place, file.modified_ns)
                    elif file.size > self._max_bytes or not os.access(name.name, os.R_OK, dir_fd=folder):
                        return True  # it was not read completely
                    else:
                        os.unlink(name.name, dir_fd=folder)
                except (FileNotFoundError, NotADirectoryError):
                    if _is_there(name.name, folder):
                        raise
        except (FileNotFoundError, NotADirectoryError) as error:
            if isinstance(error, _NoFolderError):
                return False  # its folder is gone, or was replaced by a link
            raise
        return False

    def _report(self, error: OSError) -> None:
        if not self._reported:
            self._reported = True
            from streaming.monitoring.log import BatchLog  # tasks import this module and do not need the log

            BatchLog().not_removed("archived" if self._archive else "deleted", str(error))


class _NoFolderError(FileNotFoundError):
    """A folder below the watched directory is gone."""


@contextmanager
def _folder(root: Path, path: PurePosixPath, *, make: bool = False) -> Iterator[int]:
    """Open the folder `path` below `root` without following a link below `root`.

    Otherwise a user who can write to the watched directory could replace a folder by a link, so that files elsewhere
    would be removed or written.
    """
    if make:
        root.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(root, _FOLDER)
        for part in path.parts:
            outer = descriptor
            try:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=outer)
                descriptor = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=outer)
            finally:
                os.close(outer)
    except (FileNotFoundError, NotADirectoryError) as error:
        if make:
            raise OSError(error.errno, f"{root / path} is not a directory, or its path contains a link") from error
        raise _NoFolderError(*error.args) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def move(name: str, source: int, target: int, number: int) -> None:
    """Move a file from one open folder to another on the same file system.

    No file is replaced: if the name exists, `number` is added to it.
    """
    for other in _names(name, number):
        try:
            # Unlike a rename, this fails if the name exists.
            os.link(name, other, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        except FileExistsError:
            ours, theirs = (
                os.stat(entry, dir_fd=folder, follow_symlinks=False)
                for entry, folder in ((name, source), (other, target))
            )
            if not os.path.samestat(ours, theirs):  # else the process died before it removed `name`
                continue
        except OSError:  # a file system without hard links, or a file of another user
            if _is_there(other, target):
                continue
            os.rename(name, other, src_dir_fd=source, dst_dir_fd=target)
            return
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=source)
        return


def _names(name: str, number: int) -> Iterator[str]:
    """Yield `name`, then `name` with `number`, then more names for files with equal names and times."""
    path = PurePosixPath(name)
    yield name
    yield f"{path.stem}~{number}{path.suffix}"
    for more in count(2):
        yield f"{path.stem}~{number}~{more}{path.suffix}"
