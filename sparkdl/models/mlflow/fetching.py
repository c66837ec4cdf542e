"""Fetch a version from MLflow into the cache, by its digest; only our own files are read, and none is run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.mlflow.address import MlflowAddress
from sparkdl.models.mlflow.exporting import DATA, DIGEST_TAG
from sparkdl.models.mlflow.tracking import AbsentError, TrackingServer, tags_of
from sparkdl.models.registry import MODEL_JSON, PIPELINE, REPORT, ModelVersion, resolve_model
from sparkdl.networks.validation import MAX_BYTES
from sparkdl.system.cache import cache_directory, make_directory
from sparkdl.system.hashing import sha256

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as Entity
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

CACHE = "mlflow"
"""The part of the cache that holds fetched versions, each in a directory named by the SHA-256 of its `model.json`."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(rf"{DATA}/({re.escape(MODEL_JSON)}|({PIPELINE}|{REPORT})(/[\w.-]+)+)", re.ASCII)
_MAX_FILES = 10_000
_MAX_TOTAL = 2 * MAX_BYTES  # bytes of all files


@dataclass(frozen=True)
class MlflowVersion(ModelVersion):
    """A version of a model that is registered in MLflow, in the local cache.

    Attributes
    ----------
    address
        What was asked for.
    number
        The number of the version in MLflow.
    server
        Where it is registered.
    """

    address: MlflowAddress
    number: str
    server: TrackingServer

    @property
    def name(self) -> str:
        """The model's name in predictions: its address in MLflow, with the version."""
        return str(MlflowAddress(self.address.name, None, self.number))


def find_entity(server: TrackingServer, address: MlflowAddress) -> Entity:
    """Return the record in MLflow of the version that an address names now.

    Raises
    ------
    AbsentError
        If there is no such model, alias or version.
    UnreachableError
        If the server does not answer.
    """
    with server.answers():
        client = server.client
        if address.alias is not None:
            return client.get_model_version_by_alias(address.name, address.alias)
        return client.get_model_version(address.name, str(address.number))


def resolve(address: MlflowAddress, server: TrackingServer) -> MlflowVersion:
    """Return the version that an address names now, fetched if it is not in the cache.

    Raises
    ------
    RequestError
        If there is no such model, alias or version.
    SparkdlError
        If the server does not answer, or what it has is refused.
    """
    server.check_reachable()
    try:
        entity = find_entity(server, address)
    except AbsentError as error:
        raise RequestError(f"no such model: {address} ({error})") from error
    return fetch(server, address, entity)


def fetch(server: TrackingServer, address: MlflowAddress, entity: Entity) -> MlflowVersion:
    """Return the version of `entity`, verified, from the cache or from MLflow.

    Raises
    ------
    UnreachableError
        If its files could not be fetched; a later try may succeed.
    SparkdlError
        If its files are not those of a version, or differ from what was exported.
    """
    number, stated = str(entity.version), tags_of(entity).get(DIGEST_TAG)
    name = str(MlflowAddress(address.name, None, number))
    if stated is not None and not _SHA256.fullmatch(stated):
        raise SparkdlError(f"model {name}: its tag {DIGEST_TAG} is not a SHA-256")
    cache = cache_directory(CACHE)

    def read(path: Path) -> MlflowVersion:
        version = MlflowVersion(path, resolve_model(str(path)).description, address, number, server)
        version.verify()
        return version

    cached = None if stated is None else _cached(cache / stated, read)
    if cached is not None:
        return cached
    make_directory(cache)
    scratch = cache / f".fetched-{uuid4().hex}"
    scratch.mkdir(mode=0o700)
    try:
        found = _download(server, scratch, name, number, entity)
        digest = sha256(found / MODEL_JSON)
        if stated is not None and digest != stated:
            raise SparkdlError(f"model {name}: {MODEL_JSON} differs from what was exported, by its tag {DIGEST_TAG}")
        read(found)
        return _cached(cache / digest, read) or read(found.rename(cache / digest))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _cached(path: Path, read: Callable[[Path], MlflowVersion]) -> MlflowVersion | None:
    """Return the version in a directory of the cache if it is what the name says; remove one that is not."""
    if not path.is_dir():
        return None
    try:
        if sha256(path / MODEL_JSON) == path.name:
            return read(path)
    except (SparkdlError, OSError):
        pass
    shutil.rmtree(path)
    return None


def _download(server: TrackingServer, scratch: Path, name: str, number: str, entity: Entity) -> Path:
    """Return the directory below `scratch` into which the version's files were fetched."""
    with server.answers():
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = server.client.get_model_version_download_uri(entity.name, number)
        repository = get_artifact_repository(uri, tracking_uri=server.uri)
        _check_files(repository, name)
        repository.download_artifacts(DATA, str(scratch))
    return scratch / DATA


def _check_files(repository: ArtifactRepository, name: str) -> None:
    """Refuse a model that contains no sparkdl version, before any of it is fetched."""
    left, files, total = [DATA], 0, 0
    while left:
        for entry in _entries(repository, left.pop()):
            path = str(entry.path)
            if entry.is_dir:
                left.append(path)
                continue
            if not _FILE.fullmatch(path):
                raise SparkdlError(f"model {name}: {path[:200]} is not part of a version")
            files, total = files + 1, total + int(entry.file_size or 0)
            if files > _MAX_FILES or total > _MAX_TOTAL:
                raise SparkdlError(f"model {name}: expected at most {_MAX_FILES} files and {_MAX_TOTAL} bytes")
    if not files:
        raise SparkdlError(
            f"model {name} was not exported by sparkdl: it has no {DATA} (export one with: sparkdl models export)"
        )


def _entries(repository: ArtifactRepository, path: str) -> list[Any]:
    """Return what lies in a directory of the artifacts; nothing if there is no such directory."""
    try:
        return list(repository.list_artifacts(path) or ())
    except Exception as error:
        if getattr(getattr(error, "response", None), "status_code", None) == 404:  # of MLflow's proxy
            return []
        raise
