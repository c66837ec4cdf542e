"""A version as a model of MLflow: logged under a run, registered, named by an alias."""

from __future__ import annotations

import json
import math
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sparkdl.errors import RequestError
from sparkdl.models.mlflow.address import EXPERIMENT
from sparkdl.models.mlflow.pyfunc import CONTENT, output_fields
from sparkdl.models.mlflow.tracking import AbsentError, TrackingServer
from sparkdl.models.registry import MODEL_JSON, REPORT, ModelVersion
from sparkdl.system.hashing import sha256

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

DATA = "data/sparkdl"
"""Where the version is in the MLflow model."""
DIGEST_TAG, VERSION_TAG = "sparkdl.digest", "sparkdl.version"
"""The tags of what is logged: the SHA-256 of `model.json`, which has those of all files, and the version's name."""

_LOADER = "sparkdl.models.mlflow.pyfunc"
_LIBRARIES = ("numpy", "onnxruntime", "pandas", "pillow", "pyarrow")
_SECTIONS = {"recipe": "", "data": "data.", "review": "review.", "imported": "imported."}
"""The parts of `model.json` that are parameters of a run, and what their names begin with."""
_MAX_PARAM = 500  # characters of a parameter's value: the least that any version of MLflow takes


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Attributes
    ----------
    name, number
        The registered model and the version.
    model_id
        The id of the logged model behind it.
    """

    name: str
    number: str
    model_id: str


@dataclass(frozen=True)
class LoggedRun:
    """A run.

    Attributes
    ----------
    run_id
        Its id.
    model_id
        The id of its logged model; None if the model needs Spark.
    """

    run_id: str
    model_id: str | None


def digest_of(version: ModelVersion) -> str:
    """Return the SHA-256 of a version's `model.json`, and so of all its files."""
    return sha256(version.path / MODEL_JSON)


def check_export(version: ModelVersion) -> None:
    """Verify a version that is to run in MLflow.

    Raises
    ------
    RequestError
        If it is a bare PipelineModel, or its stages need Spark.
    SparkdlError
        If its files differ from what was saved.
    """
    if not version.description:
        raise RequestError(
            f"{version.path} is a bare PipelineModel: expected a version of a registry, with {MODEL_JSON}"
        )
    if version.load_without_spark() is None:
        raise RequestError(
            f"model {version.name} has stages that need Spark, and a model in MLflow runs without it: expected the "
            "stages that recipes make"
        )


def log_run(server: TrackingServer, version: ModelVersion, experiment: str = EXPERIMENT) -> LoggedRun:
    """Log a version as a run: parameters, metrics, the report with its plots and the model card, and the model.

    The model is left out if it needs Spark.

    Raises
    ------
    SparkdlError
        If the server does not answer; the run is then marked as failed where that is possible.
    """
    has_model = version.load_without_spark() is not None
    with server.answers():
        run_id, logged = _log_run(server, version, _experiment_id(server, experiment), has_model=has_model)
    return LoggedRun(run_id, None if logged is None else str(logged.model_id))


def register(
    server: TrackingServer,
    version: ModelVersion,
    name: str,
    *,
    alias: str | None = None,
    experiment: str = EXPERIMENT,
) -> Registered:
    """Register a version as the next version of the model `name`, and point an alias to it.

    A version that was logged by `log_run` in the same experiment is not uploaded again; another is logged first.

    Raises
    ------
    RequestError
        If the version cannot run without Spark.
    SparkdlError
        If the server does not answer.
    """
    check_export(version)
    with server.answers():
        client = server.client
        experiment_id = _experiment_id(server, experiment)
        logged = _logged_before(server, version, experiment_id) or _log_run(server, version, experiment_id)[1]
        assert logged is not None
        try:
            client.get_registered_model(name)
        except Exception as error:
            if getattr(error, "error_code", "") != "RESOURCE_DOES_NOT_EXIST":
                raise
            client.create_registered_model(name)
        made = client.create_model_version(
            name,
            source=logged.artifact_location,
            run_id=logged.source_run_id,
            tags=_tags(version),
            description=f"sparkdl version {version.name}; its model card is {DATA}/{REPORT}/report.md",
            model_id=logged.model_id,
        )
        if alias is not None:
            client.set_registered_model_alias(name, alias, made.version)
    return Registered(name, str(made.version), str(logged.model_id))


def save_pyfunc(version: ModelVersion, directory: Path, mlflow_model: Any = None) -> None:
    """Write a version as an MLflow model into `directory`, which must not exist."""
    import mlflow.pyfunc

    with TemporaryDirectory(prefix="sparkdl-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no example of an input: the signature says all
        data = Path(scratch) / Path(DATA).name
        shutil.copytree(version.path, data, ignore=shutil.ignore_patterns(".*"))  # Hadoop's checksums
        mlflow.pyfunc.save_model(
            str(directory),
            loader_module=_LOADER,
            data_path=str(data),
            signature=_signature(),
            pip_requirements=requirements(),
            metadata={DIGEST_TAG: digest_of(version), VERSION_TAG: version.name},
            **({} if mlflow_model is None else {"mlflow_model": mlflow_model}),
        )


def requirements() -> list[str]:
    """Return what the pyfunc needs, as pip has it: this package, and what it computes with, in these versions."""
    return [f"{name}=={installed_version(name)}" for name in ("sparkdl-streaming", *_LIBRARIES)]


def _signature() -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import Array, Map

    types = {
        "string": DataType.string,
        "double": DataType.double,
        "map<string,double>": Map(DataType.double),
        "array<string>": Array(DataType.string),
    }
    outputs = [ColSpec(types[field.dataType.simpleString()], field.name, required=False) for field in output_fields()]
    return ModelSignature(inputs=Schema([ColSpec(DataType.binary, CONTENT)]), outputs=Schema(outputs))


def _log_run(
    server: TrackingServer, version: ModelVersion, experiment_id: str, *, has_model: bool = True
) -> tuple[str, LoggedModel | None]:
    from mlflow.entities import LoggedModelOutput, Metric, Param

    client = server.client
    run_id = str(client.create_run(experiment_id, run_name=version.name, tags=_tags(version)).info.run_id)
    try:
        now = int(time.time() * 1000)
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in _metrics(version)],
            params=[Param(name, value) for name, value in _params(version)],
        )
        client.log_artifacts(run_id, str(version.path / REPORT), REPORT)
        logged = _log_model(server, version, experiment_id, run_id) if has_model else None
        if logged is not None:
            client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    except BaseException:
        with suppress(Exception):  # the first error counts
            client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id, logged


def _log_model(server: TrackingServer, version: ModelVersion, experiment_id: str, run_id: str) -> LoggedModel:
    from mlflow.models import Model

    client = server.client
    logged = client.create_logged_model(
        experiment_id, name="sparkdl", source_run_id=run_id, tags=_tags(version), params=dict(_params(version))
    )
    try:
        with TemporaryDirectory(prefix="sparkdl-") as scratch:
            directory = Path(scratch) / "model"
            model = Model(
                artifact_path=logged.artifact_location,
                run_id=run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            )
            save_pyfunc(version, directory, model)
            client.log_model_artifacts(logged.model_id, str(directory))
    except BaseException:
        with suppress(Exception):
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return client.finalize_logged_model(logged.model_id, "READY")


def _logged_before(server: TrackingServer, version: ModelVersion, experiment_id: str) -> LoggedModel | None:
    found = server.client.search_logged_models(
        [experiment_id], filter_string=f"tags.`{DIGEST_TAG}` = '{digest_of(version)}'"
    )
    return next((each for each in found if str(each.status).endswith("READY") and each.source_run_id), None)


def _experiment_id(server: TrackingServer, name: str) -> str:
    experiment = server.client.get_experiment_by_name(name)
    if experiment is None:
        return str(server.client.create_experiment(name))
    if experiment.lifecycle_stage != "active":
        raise AbsentError(f"MLflow at {server}: experiment {name!r} was deleted: restore it or name another")
    return str(experiment.experiment_id)


def _tags(version: ModelVersion) -> dict[str, str]:
    return {DIGEST_TAG: digest_of(version), VERSION_TAG: version.name}


def _params(version: ModelVersion) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a version's run: the settings of its recipe, and where its data came from."""
    for section, prefix in _SECTIONS.items():
        values = version.description.get(section)
        for key, value in values.items() if isinstance(values, Mapping) else ():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{key}", text[:_MAX_PARAM]


def _metrics(version: ModelVersion) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a version's evaluation; an interval becomes two."""
    metrics = version.description.get("metrics")
    for key, value in metrics.items() if isinstance(metrics, Mapping) else ():
        ends = zip(("_low", "_high"), value, strict=False) if isinstance(value, list) and len(value) == 2 else ()
        for name, number in (("", value), *ends):
            if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number):
                yield f"{key}{name}", float(number)
