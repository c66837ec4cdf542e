"""The jar lists of the connectors and the local broker, resolved from their dependencies.

`python -m streaming.jar_lists broker|kafka|delta` prints one (`make lock-jars`).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import quoteattr

from sparkdl.spark.jars import Jar, ivy_jar
from sparkdl.spark.java import ensure_java
from sparkdl.system.hashing import sha256
from streaming import spark_conf
from streaming.kafka.local.jars import KAFKA


@dataclass(frozen=True)
class _Package:
    """A package to resolve: `GROUP:ARTIFACT:VERSION`, alone or with its dependencies."""

    coordinates: str
    alone: bool = False

    def description(self) -> str:
        group, artifact, version = self.coordinates.split(":")
        conf = "default->default" if self.alone else "default->default,runtime"
        transitive = "false" if self.alone else "true"
        return f'<dependency org="{group}" name="{artifact}" rev="{version}" conf="{conf}" transitive="{transitive}"/>'


@dataclass(frozen=True)
class _List:
    title: str
    packages: tuple[_Package, ...]
    without: tuple[str, ...] = ()  # groups
    beside_spark: bool = False


# Spark ships its own versions of these; the versions that the connectors name would never be loaded.
_OF_SPARK = (
    "com.fasterxml.jackson.core",
    "com.fasterxml.jackson.datatype",
    "com.google.code.findbugs",
    "org.apache.hadoop",
    "org.apache.logging.log4j",
    "org.apache.parquet",
    "org.lz4",
    "org.roaringbitmap",
    "org.scala-lang",
    "org.slf4j",
    "org.xerial.snappy",
)
_LISTS = {
    "broker": _List(
        f"Jars of Apache Kafka {KAFKA} and its dependencies",
        (
            _Package(f"org.apache.kafka:kafka_2.13:{KAFKA}"),
            # Its other dependencies are Kafka Connect and its web server.
            _Package(f"org.apache.kafka:kafka-tools:{KAFKA}", alone=True),
            # Connects Kafka's logging interface to Log4j.
            _Package("org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"),
        ),
    ),
    "kafka": _List(
        f"Jars that {spark_conf.KAFKA.package} needs in addition to Spark's own",
        (_Package(spark_conf.KAFKA.package),),
        _OF_SPARK,
        True,
    ),
    "delta": _List(
        f"Jars that {spark_conf.DELTA.package} needs in addition to Spark's own",
        (_Package(spark_conf.DELTA.package),),
        _OF_SPARK,
        True,
    ),
}


def resolve(wanted: _List) -> list[Jar]:
    """Resolve a list at Maven Central with the Ivy that Spark ships."""
    own = {path.name for path in ivy_jar().parent.iterdir()} if wanted.beside_spark else set[str]()
    with TemporaryDirectory() as directory:
        description = Path(directory) / "ivy.xml"
        description.write_text(
            '<ivy-module version="2.0"><info organisation="sparkdl" module="jars"/>'
            '<configurations><conf name="default"/></configurations><dependencies>'
            + "".join(package.description() for package in wanted.packages)
            + "".join(f"<exclude org={quoteattr(group)}/>" for group in wanted.without)
            + "</dependencies></ivy-module>"
        )
        pattern = f"{directory}/jars/[organisation]:[artifact]:[revision].[ext]"
        command = [ensure_java(), "-jar", str(ivy_jar()), "-cache", f"{directory}/cache", "-ivy", str(description)]
        # Some jars have the type `bundle`.
        subprocess.run([*command, "-retrieve", pattern, "-types", "jar", "bundle"], check=True, stdout=sys.stderr)
        jars = (Jar.of(path.stem, sha256(path)) for path in Path(directory, "jars").iterdir())
        return sorted(jar for jar in jars if jar.name not in own)


if __name__ == "__main__":
    asked = _LISTS[sys.argv[1]]
    sys.stdout.write(f"# {asked.title}; made by `make lock-jars`.\n")
    sys.stdout.writelines(f"{jar.sha256}  {jar.group}:{jar.artifact}:{jar.version}\n" for jar in resolve(asked))
