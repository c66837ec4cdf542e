"""The jars of Apache Kafka: a list with digests, fetched once from a Maven repository and kept.

`python -m console.jars > console/kafka.lock` (`make lock-kafka`) makes the list anew. `python -m console.jars LIST
DIRECTORY` fetches the jars of another list, such as `locks/spark-jars.lock`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.request import urlopen

from sparkdl.errors import SparkdlError
from sparkdl.java import ensure_java
from sparkdl.maven import REPOSITORY_VARIABLE, ivy_jar, repository
from sparkdl.network import cache_directory
from sparkdl.weights import sha256

KAFKA = "4.2.0"
"""The version of Apache Kafka."""

_LOCK = Path(__file__).with_name("kafka.lock")
_AT_ONCE = 8  # downloads
_TIMEOUT = 20  # seconds without a byte
_ATTEMPTS = 2

# The broker with all that it depends on; its command line tools alone, since what they depend on besides is Kafka
# Connect and its web server; and the way from Kafka's logging interface to Log4j. Ivy needs `bundle` for some jars.
_IVY = f"""<ivy-module version="2.0">
  <info organisation="sparkdl" module="broker"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
    <dependency org="org.apache.kafka" name="kafka_2.13" rev="{KAFKA}" conf="default->default,runtime"/>
    <dependency org="org.apache.kafka" name="kafka-tools" rev="{KAFKA}" conf="default->default" transitive="false"/>
    <dependency org="org.apache.logging.log4j" name="log4j-slf4j-impl" rev="2.25.3" conf="default->default,runtime"/>
  </dependencies>
</ivy-module>
"""


@dataclass(frozen=True, order=True)
class Jar:
    """A file in a Maven repository, and the digest of the one that is meant."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """Where it lies in a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.name}"


def locked_jars(lock: Path = _LOCK) -> list[Jar]:
    """What a list names: by default what a broker and its tools run on."""
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [_jar(coordinates, digest) for digest, coordinates in lines]


def _jar(coordinates: str, digest: str) -> Jar:
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, digest)


def jars_directory() -> Path:
    """Where the jars are kept."""
    return cache_directory() / f"kafka-{KAFKA}"


def fetch_jars(
    on_progress: Callable[[int, int], None] | None = None, lock: Path = _LOCK, directory: Path | None = None
) -> list[Path]:
    """The jars of a list, each with its own digest; those that are not in their directory are downloaded into it first.

    Parameters
    ----------
    on_progress
        Called with the number of jars that are there and of all, before and during a download only.
    lock
        The list.
    directory
        By default `jars_directory()`.

    Raises
    ------
    SparkdlError
        If a jar is not the one on the list, or cannot be downloaded; the message says what to do.
    """
    directory, jars = directory or jars_directory(), locked_jars(lock)
    missing = [jar for jar in jars if not (directory / jar.name).is_file()]
    for jar in jars:
        if jar not in missing and (found := sha256(directory / jar.name)) != jar.sha256:
            raise SparkdlError(
                f"{directory / jar.name} is refused: its SHA-256 is {found}, expected {jar.sha256}; "
                "delete it, and it is fetched again"
            )
    if missing:
        note = on_progress or (lambda done, total: None)
        note(len(jars) - len(missing), len(jars))
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=directory, prefix=".") as partial:
                _download(missing, lock, Path(partial), lambda done: note(len(jars) - len(missing) + done, len(jars)))
        except OSError as error:
            raise SparkdlError(
                f"{directory} cannot be written ({error}): set SPARKDL_CACHE_DIR to another directory"
            ) from error
    return [directory / jar.name for jar in jars]


def _download(jars: list[Jar], lock: Path, partial: Path, note: Callable[[int], None]) -> None:
    source = repository()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [pool.submit(_fetch, jar, source, lock, partial) for jar in jars]
        try:
            for done, future in enumerate(as_completed(running), 1):
                future.result()
                note(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(jar: Jar, repository: str, lock: Path, partial: Path) -> None:
    """Puts `jar` beside the directory `partial` by way of it, so that it appears whole and only when it is right."""
    content = _read(jar, repository, f"put the jars that {lock.name} lists into {partial.parent}")
    found = hashlib.sha256(content).hexdigest()
    if found != jar.sha256:
        raise SparkdlError(
            f"{jar.name} from {repository} is refused: its SHA-256 is {found}, expected {jar.sha256}; "
            f"set {REPOSITORY_VARIABLE} to a repository that holds the original"
        )
    (partial / jar.name).write_bytes(content)
    (partial / jar.name).replace(partial.parent / jar.name)


def _read(jar: Jar, repository: str, otherwise: str) -> bytes:
    attempt = 0
    while True:
        attempt += 1
        try:
            with urlopen(f"{repository}/{jar.path}", timeout=_TIMEOUT) as response:  # noqa: S310  # scheme checked
                content: bytes = response.read()
                return content
        except (OSError, HTTPException) as error:
            if attempt < _ATTEMPTS and not isinstance(error, HTTPError):
                continue
            raise SparkdlError(
                f"cannot fetch {jar.name} from {repository} ({getattr(error, 'reason', error)}): "
                f"set {REPOSITORY_VARIABLE} to a Maven repository that can be reached, or {otherwise}"
            ) from error


def resolve() -> list[Jar]:
    """Asks Maven Central what `_IVY` comes to, with the Ivy that Spark ships."""
    with TemporaryDirectory() as directory:
        description = Path(directory) / "ivy.xml"
        description.write_text(_IVY)
        pattern = f"{directory}/jars/[organisation]:[artifact]:[revision].[ext]"
        command = [ensure_java(), "-jar", str(ivy_jar()), "-cache", f"{directory}/cache", "-ivy", str(description)]
        subprocess.run([*command, "-retrieve", pattern, "-types", "jar", "bundle"], check=True, stdout=sys.stderr)
        return sorted(_jar(path.stem, sha256(path)) for path in Path(directory, "jars").iterdir())


if __name__ == "__main__":
    if sys.argv[1:]:
        fetch_jars(None, *map(Path, sys.argv[1:]))
    else:
        sys.stdout.write(f"# What Apache Kafka {KAFKA} runs on; made by `make lock-kafka`.\n")
        sys.stdout.writelines(f"{jar.sha256}  {jar.group}:{jar.artifact}:{jar.version}\n" for jar in resolve())
