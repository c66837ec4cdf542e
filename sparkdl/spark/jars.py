"""Jars from a Maven repository: listed with digests, downloaded once, cached, and verified at each use.

`python -m sparkdl.spark.jars DIRECTORY LIST...` downloads the jars of the lists into a directory.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen
from zipfile import ZipFile

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.cache import CACHE_VARIABLE, cache_directory, make_directory
from sparkdl.system.files import write_atomically

REPOSITORY_VARIABLE = "SPARKDL_MAVEN_REPOSITORY"

_AT_ONCE = 8  # simultaneous downloads
_TIMEOUT = 20  # seconds without a byte
_ATTEMPTS = 2
_MAX_JAR_BYTES = 256 << 20  # bytes; the largest jar of the lists has 9 MB
_SIGNS = "[]{}*?\\"  # which Spark interprets as patterns
_PATTERN = {",", *_SIGNS}
_CENTRAL = "org/apache/ivy/core/settings/repository.properties", "ivy.ibiblio.default.artifact.root"

Progress = Callable[[int, int], None]
"""Called with the number of available jars and of all jars, before and during a download only."""


@dataclass(frozen=True, order=True)
class Jar:
    """A file in a Maven repository and its expected digest."""

    group: str
    artifact: str
    version: str
    sha256: str

    @classmethod
    def of(cls, coordinates: str, digest: str) -> Jar:
        """Return the jar of `GROUP:ARTIFACT:VERSION`."""
        group, artifact, version = coordinates.split(":")
        return cls(group, artifact, version, digest)

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """The file's path in a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def read_list(lock: Path) -> list[Jar]:
    """Return the jars in a list, which has a digest and coordinates per line."""
    lines = (line.split() for line in lock.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return [Jar.of(coordinates, digest) for digest, coordinates in lines]


def repository() -> str:
    """Return the address of the repository: `SPARKDL_MAVEN_REPOSITORY`, else Maven Central as set in Spark's Ivy.

    Raises
    ------
    RequestError
        If that is not an https, http or file address.
    """
    address = (os.environ.get(REPOSITORY_VARIABLE) or _central()).rstrip("/")
    if urlsplit(address).scheme not in {"https", "http", "file"}:
        raise RequestError(f"{REPOSITORY_VARIABLE}: expected an https, http or file address, received {address!r}")
    return address


def ivy_jar() -> Path:
    """Return the Ivy that Spark ships.

    Raises
    ------
    SparkdlError
        If there is none.
    """
    spark = find_spec("pyspark")
    found = sorted(Path(spark.origin).parent.glob("jars/ivy-*.jar")) if spark and spark.origin else []
    if not found:
        raise SparkdlError("the address of Maven Central is read from Spark's Ivy, and there is none: install pyspark")
    return found[0]


def _central() -> str:
    file, name = _CENTRAL
    with ZipFile(ivy_jar()) as jar:
        lines = (line.partition("=") for line in jar.read(file).decode("latin-1").splitlines())
        return next(value.strip() for key, _, value in lines if key.strip() == name)


def session_jars(locks: Sequence[Path], on_progress: Progress | None = None) -> list[Path]:
    """Return the jars of the lists for a Spark session, without those that Spark already has.

    Parameters
    ----------
    locks
        The lists.
    on_progress
        See `Progress`.

    Raises
    ------
    SparkdlError
        As in `fetch_jars`.
    """
    import pyspark

    own = Path(os.environ.get("SPARK_HOME") or pyspark.__path__[0], "jars")
    # Compared by name only: a user who can write there controls Spark anyway.
    jars = [(jar, lock) for lock in locks for jar in read_list(lock) if not (own / jar.name).is_file()]
    if not jars:
        return []
    directory = cache_directory("jars")
    if _PATTERN & set(str(directory)):
        raise RequestError(
            f"Spark cannot take jars from {directory}: set {CACHE_VARIABLE} to a path without commas and {_SIGNS}"
        )
    return _fetch_all(jars, directory, on_progress)


def fetch_jars(lock: Path, directory: Path, on_progress: Progress | None = None) -> list[Path]:
    """Return the jars of a list after a check of their digests; download missing ones into `directory`.

    Raises
    ------
    SparkdlError
        If a jar differs from the one on the list, or cannot be downloaded; the message says what to do.
    """
    return _fetch_all([(jar, lock) for jar in read_list(lock)], directory, on_progress)


def _fetch_all(jars: list[tuple[Jar, Path]], directory: Path, on_progress: Progress | None) -> list[Path]:
    missing = []
    for jar, lock in jars:
        place = directory / jar.name
        if not place.exists():
            missing.append((jar, lock))
        elif (found := _sha256(place)) != jar.sha256:
            raise SparkdlError(
                f"{place} is refused: its SHA-256 is {found}, expected {jar.sha256}; delete it, and it is fetched again"
            )
    if missing:
        note = on_progress or (lambda done, total: None)
        there = len(jars) - len(missing)
        note(there, len(jars))
        try:
            make_directory(directory)
            _download(missing, directory, lambda done: note(there + done, len(jars)))
        except OSError as error:
            raise SparkdlError(
                f"{directory} cannot be written ({error}): set SPARKDL_CACHE_DIR to another directory"
            ) from error
    return [directory / jar.name for jar, _ in jars]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SparkdlError(f"{path} cannot be read: {error.strerror}") from error


def _download(jars: list[tuple[Jar, Path]], directory: Path, note: Callable[[int], None]) -> None:
    source = repository()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(_fetch, jar, source, lock, directory) for jar, lock in jars]
        try:
            for done, future in enumerate(as_completed(running), 1):
                future.result()
                note(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, source: str, lock: Path, directory: Path) -> None:
    """Download `jar` into a directory atomically, and only if its digest is correct."""
    content = _read(jar, source, f"put the jars that {lock.parent.name}/{lock.name} lists into {directory}")
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise SparkdlError(
            f"{jar.name} from {source} is refused: its SHA-256 is {found}, expected {jar.sha256}; "
            f"set {REPOSITORY_VARIABLE} to a repository that holds the original"
        )
    write_atomically(directory / jar.name, content)


def _read(jar: Jar, source: str, otherwise: str) -> bytes:
    attempt = 0
    while True:
        attempt += 1
        try:
            with urlopen(f"{source}/{jar.path}", timeout=_TIMEOUT) as response:  # noqa: S310  # scheme checked
                content: bytes = response.read(_MAX_JAR_BYTES)
                return content
        except (OSError, HTTPException) as error:
            if attempt < _ATTEMPTS and not isinstance(error, HTTPError):
                continue
            raise SparkdlError(
                f"cannot fetch {jar.name} from {source} ({getattr(error, 'reason', None) or error}): "
                f"set {REPOSITORY_VARIABLE} to a Maven repository that can be reached, or {otherwise}"
            ) from error


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m sparkdl.spark.jars DIRECTORY LIST...")
    try:
        for each in sys.argv[2:]:
            fetch_jars(Path(each), Path(sys.argv[1]))
    except SparkdlError as problem:
        sys.exit(str(problem))
