"""Registry of models: versions in a directory, one of them promoted; every write is atomic."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from sparkdl.errors import RequestError, SparkdlError, unknown
from sparkdl.system.files import write_atomically

if TYPE_CHECKING:
    from sparkdl.inference.classifier import Classifier

CURRENT = "CURRENT"
PIPELINE, MODEL_JSON, REPORT = "pipeline", "model.json", "report"
MIN_REVIEW_THRESHOLD = 0.5
"""The minimum review threshold, and the default for models that state none. Predictions below it need review."""
Loaded = TypeVar("Loaded")
_VERSION = re.compile(r"\d{8}T\d{6}-[\w.-]+")


@dataclass(frozen=True)
class ModelVersion:
    """One saved model: a version of a registry, or a bare PipelineModel directory (then `description` is empty)."""

    path: Path
    description: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The model's name in predictions."""
        return self.path.name

    @property
    def pipeline(self) -> Path:
        """The directory of the Spark PipelineModel."""
        return self.path / PIPELINE if self.description else self.path

    @property
    def review_below(self) -> float | None:
        """The confidence below which a prediction of this model needs review, 0..1; None if the model states none.

        Raises
        ------
        SparkdlError
            If `model.json` states an invalid value.
        """
        review = self.description.get("review")
        if review is None:
            return None
        below = review.get("confidence") if isinstance(review, dict) else None
        if isinstance(below, bool) or not isinstance(below, int | float) or not 0 <= below <= 1:
            raise SparkdlError(f"model {self.name}: {MODEL_JSON} does not state its review threshold as 0 to 1")
        return float(below)

    def verify(self) -> None:
        """Compare every file with its SHA-256 in `model.json`.

        Raises
        ------
        SparkdlError
            If a file differs, is missing, is not listed, or is outside the pipeline and the report, or if
            `sparkdl.models.allowlist` refuses it; the message names the first such file.
        """
        from sparkdl.models.allowlist import check_pipeline

        if self.description:
            for name in sorted({path.name for path in self.path.iterdir()} - {PIPELINE, MODEL_JSON, REPORT}):
                raise SparkdlError(f"model {self.name}: {name} is not part of the model")
            stated, present = self.description.get("files"), _digests(self.path)
            if not isinstance(stated, dict):
                raise SparkdlError(f"model {self.name}: {MODEL_JSON} does not state the digests of its files")
            for name in sorted({*stated, *present}):
                if name not in present:
                    raise SparkdlError(f"model {self.name}: {name} is missing")
                if name not in stated:
                    raise SparkdlError(f"model {self.name}: {name} is not part of the model")
                if stated[name] != present[name]:
                    raise SparkdlError(f"model {self.name}: {name} differs from what was saved")
            _ = self.review_below
        check_pipeline(self.name, self.pipeline)

    def load(self) -> Classifier:
        """Verify the model and load it; needs a Spark session unless the model can be fused."""
        from sparkdl.inference.classifier import Classifier

        return self._load(Classifier.load)

    def load_without_spark(self) -> Classifier | None:
        """Verify the model and load it if it can be fused; otherwise return None."""
        from sparkdl.inference.classifier import Classifier

        return self._load(Classifier.load_fused)

    def _load(self, load: Callable[[Path, tuple[str, ...] | None], Loaded]) -> Loaded:
        self.verify()
        classes = self.description.get("classes")
        if not (classes is None or (isinstance(classes, list) and all(isinstance(name, str) for name in classes))):
            raise SparkdlError(f"model {self.name}: {MODEL_JSON} does not state its classes as a list of names")
        try:
            return load(self.pipeline, None if classes is None else tuple(classes))
        except SparkdlError:
            raise
        except Exception as error:
            raise SparkdlError(f"model {self.name} cannot be loaded: {str(error).splitlines()[0]}") from error


class Registry:
    """A directory of model versions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Create the directory if it is missing.

        Raises
        ------
        RequestError
            If it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise RequestError(f"a registry cannot be created at {self.path}: {error.strerror}") from error

    def versions(self) -> list[ModelVersion]:
        """Return the saved versions, oldest first."""
        return [_read_version(self.path / name) for name in self._names()]

    def _names(self) -> list[str]:
        if not self.path.is_dir():
            return []
        return sorted(p.name for p in self.path.iterdir() if _VERSION.fullmatch(p.name) and (p / MODEL_JSON).is_file())

    def version(self, name: str) -> ModelVersion:
        """Return the version called `name`; raise a RequestError with the nearest names if there is none."""
        names = self._names()
        if name not in names:
            raise unknown("version", name, names) if names else RequestError(f"{self.path}: no models in it")
        return _read_version(self.path / name)

    def current(self) -> ModelVersion | None:
        """Return the promoted version; None if none was promoted."""
        pointer = self.path / CURRENT
        if not pointer.is_file():
            return None
        try:
            return self.version(pointer.read_text().strip())
        except RequestError as error:
            raise RequestError(f"{pointer}: {error}") from error

    def promote(self, name: str) -> ModelVersion:
        """Verify version `name` and promote it atomically."""
        version = self.version(name)
        version.verify()
        write_atomically(self.path / CURRENT, f"{name}\n")
        return version

    def save(
        self,
        classifier: Classifier,
        recipe: str,
        description: Mapping[str, Any],
        write_report: Callable[[Path], None],
    ) -> ModelVersion:
        """Save a new version atomically.

        Parameters
        ----------
        classifier
            The classifier to save.
        recipe
            The recipe, which ends the version's name after the date and time (UTC).
        description
            The content of `model.json`, to which the digests of all files are added.
        write_report
            Called with the directory to write the report to.
        """
        self.make()
        staged = self.path / f".staged-{uuid4().hex}"
        try:
            staged.mkdir()
            classifier.pipeline.write().save((staged / PIPELINE).resolve().as_uri())
            (staged / REPORT).mkdir()
            write_report(staged / REPORT)
            stated = {**description, "classes": list(classifier.classes or ()), "files": _digests(staged)}
            (staged / MODEL_JSON).write_text(json.dumps(stated, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            return _read_version(self._publish(staged, recipe))
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _publish(self, staged: Path, recipe: str) -> Path:
        stem = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{recipe}"
        for suffix in ("", *(f".{n}" for n in range(2, 1000))):
            target = self.path / f"{stem}{suffix}"
            if not target.exists():
                try:
                    os.rename(staged, target)  # noqa: PTH104 - it must refuse to replace
                except OSError:
                    continue
                return target
        raise SparkdlError(f"{self.path}: cannot find a free name for {stem}")


def resolve_model(address: str) -> ModelVersion:
    """Return the model at an address: a version, a registry (its promoted version) or a bare PipelineModel directory.

    Raises
    ------
    RequestError
        If `address` is none of them.
    """
    path = Path(address).resolve()  # so that "." has a name too
    if (path / MODEL_JSON).is_file():
        return _read_version(path)
    if (path / CURRENT).is_file():
        current = Registry(path).current()
        assert current is not None  # the pointer exists
        return current
    if (path / "metadata").is_dir() and (path / "stages").is_dir():
        return ModelVersion(path, {})
    if not path.exists():
        raise RequestError(f"no such model: {address} (train one with: sparkdl train --data DATA --models {address})")
    raise RequestError(
        f"{address} is not a model: expected a registry (with {CURRENT} in it), a version (with {MODEL_JSON}) "
        "or a saved PipelineModel (with metadata and stages)"
    )


def _read_version(path: Path) -> ModelVersion:
    try:
        description = json.loads((path / MODEL_JSON).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SparkdlError(f"{path / MODEL_JSON} cannot be read: {error}") from error
    if not isinstance(description, dict):
        raise SparkdlError(f"{path / MODEL_JSON}: expected a JSON object")
    return ModelVersion(path, description)


def _digests(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file except `model.json` and Hadoop's checksums, by relative path."""
    digests = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name != MODEL_JSON and path.suffix != ".crc":
            with path.open("rb") as file:
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests
