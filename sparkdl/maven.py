"""Jars from a Maven repository, for what Spark does not bring itself; resolved by Spark's own Ivy."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr
from zipfile import ZipFile

import javaproperties

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.network import cache_directory, write_atomically

REPOSITORY_VARIABLE = "SPARKDL_MAVEN_REPOSITORY"
_CENTRAL = "org/apache/ivy/core/settings/repository.properties", "ivy.ibiblio.default.artifact.root"
_SETTINGS = """<ivysettings>
  <settings defaultResolver="repository"/>
  <resolvers><ibiblio name="repository" m2compatible="true" root={}/></resolvers>
</ivysettings>
"""


def ivy_jar() -> Path:
    """The Ivy that Spark ships.

    Raises
    ------
    SparkdlError
        If there is none.
    """
    spark = find_spec("pyspark")
    found = sorted(Path(spark.origin).parent.glob("jars/ivy-*.jar")) if spark and spark.origin else []
    if not found:
        raise SparkdlError("jars are fetched with the help of Spark's Ivy, and there is none: install pyspark")
    return found[0]


def repository() -> str:
    """The address of the repository: what SPARKDL_MAVEN_REPOSITORY says, else Maven Central as Ivy knows it.

    Raises
    ------
    RequestError
        If that is no https, http or file address.
    """
    address = (os.environ.get(REPOSITORY_VARIABLE) or _central()).rstrip("/")
    if urlsplit(address).scheme not in {"https", "http", "file"}:
        raise RequestError(f"{REPOSITORY_VARIABLE}: expected an https, http or file address, received {address!r}")
    return address


def _central() -> str:
    file, name = _CENTRAL
    with ZipFile(ivy_jar()) as jar:
        return str(javaproperties.loads(jar.read(file).decode())[name])


def package_conf(packages: Sequence[str]) -> dict[str, str]:
    """Spark settings that bring the jars of Maven coordinates, and of nothing but them and what they need.

    Spark would also ask a repository that most machines cannot reach, with a warning for each jar: these settings name
    one repository alone. What lies among Spark's own jars already, as in an image that was made for it, is not fetched.
    """
    packages = [package for package in packages if not _is_sparks_own(package)]
    if not packages:
        return {}
    content = _SETTINGS.format(quoteattr(repository() + "/")).encode()
    settings = cache_directory() / "ivy" / f"{hashlib.sha256(content).hexdigest()[:16]}.xml"
    if not settings.is_file():
        write_atomically(settings, content)
    return {"spark.jars.packages": ",".join(packages), "spark.jars.ivySettings": str(settings)}


def _is_sparks_own(package: str) -> bool:
    import pyspark

    _, artifact, version = package.split(":")
    home = os.environ.get("SPARK_HOME") or pyspark.__path__[0]
    return Path(home, "jars", f"{artifact}-{version}.jar").is_file()
