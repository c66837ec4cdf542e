"""Kafka's programs as processes: command lines, hidden arguments, error messages and termination."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

import psutil

from sparkdl.spark.java import ensure_java
from streaming.kafka.local.jars import broker_jars

_STOP = 30.0  # seconds to wait for a process to end
_LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
# For short-lived processes on few cores: one compiler tier, and a single-threaded garbage collector.
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


def kafka_tool(name: str, *arguments: str) -> list[str]:
    """Return the command line of one of Kafka's own programs, such as `org.apache.kafka.tools.TopicCommand`."""
    return [*command_line(ensure_java(), broker_jars(), name), *arguments]


def command_line(java: str, jars: Sequence[Path], name: str, heap: str = "256m", more: Sequence[str] = ()) -> list[str]:
    """Return the command line of a Java main class; `heap` is the maximum heap size, `more` are options of Java."""
    class_path = os.pathsep.join(map(str, jars))
    logging = f"-Dlog4j2.configurationFile={_LOGGING.as_uri()}"
    return [java, f"-Xmx{heap}", *_JVM, logging, *more, "-cp", class_path, name]


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is running and not a zombie."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def end(process: psutil.Process) -> None:
    """Terminate a process, and kill it if it is still running after 30 s."""
    for signal in (process.terminate, process.kill):
        try:
            signal()
            process.wait(_STOP)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            continue
        return


def error_of(said: str) -> str:
    """Return the message of the first error in the output of a Java program, in one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    first = next((number for number, line in enumerate(lines) if re.search(r"\b(ERROR|FATAL)\b|^Exception", line)), 0)
    for line in lines[first:]:
        if match := re.match(r"(?:Caused by: |Exception in thread \S+ )?(?:\w+\.)+\w*(?:Exception|Error): (.+)", line):
            return match[1]
    return lines[-1] if lines else "it printed no message"


def run_unseen(tool: list[str], arguments: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a Java program whose arguments contain passwords: Java reads the class name and arguments from a file.

    `ps` shows command lines to every user of the machine.
    """
    *command, name = tool
    with NamedTemporaryFile("w", dir=directory, prefix=".arguments-", encoding="ascii") as file:  # mode 0600
        file.writelines(f'"{argument}"\n' for argument in (name, *arguments))
        file.flush()
        return subprocess.run(
            [*command, f"@{Path(file.name).name}"],
            cwd=directory,
            umask=0o077,
            capture_output=True,
            text=True,
            errors="replace",
        )
