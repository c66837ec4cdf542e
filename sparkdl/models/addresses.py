"""Addresses of models: a directory, or a version that is registered in MLflow."""

from __future__ import annotations

from sparkdl.models.mlflow.address import MlflowAddress, is_mlflow
from sparkdl.models.registry import ModelVersion, resolve_model


def find_model(address: str, mlflow: str | None = None) -> ModelVersion:
    """Return the model at an address.

    Parameters
    ----------
    address
        A version, a registry (its promoted version), a bare PipelineModel directory, `mlflow:NAME@ALIAS` or
        `mlflow:NAME/VERSION`.
    mlflow
        The tracking server of the last two. Default: `MLFLOW_TRACKING_URI`.

    Raises
    ------
    RequestError
        If there is no such model.
    SparkdlError
        If the tracking server does not answer, or what it has is refused.
    """
    if not is_mlflow(address):
        return resolve_model(address)
    parsed = MlflowAddress.parse(address)
    from sparkdl.models.mlflow.fetching import resolve
    from sparkdl.models.mlflow.tracking import TrackingServer, tracking_uri

    return resolve(parsed, TrackingServer(tracking_uri(mlflow)))
