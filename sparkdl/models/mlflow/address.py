"""Addresses of models in MLflow: `mlflow:NAME@ALIAS` and `mlflow:NAME/VERSION`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sparkdl.errors import RequestError

PREFIX = "mlflow:"
FORMS = "Model registry, version, saved PipelineModel, or mlflow:NAME@ALIAS."
"""The addresses of models, for help texts."""
EXPERIMENT = "sparkdl"
"""The experiment of runs and models, unless another is named."""

_NAME = re.compile(r"\w[\w .-]*")
_ALIAS = re.compile(r"\w[\w-]*")
_ADDRESS = re.compile(rf"({_NAME.pattern})(?:@({_ALIAS.pattern})|/([0-9]+))")


def is_mlflow(address: str) -> bool:
    """Return whether an address is one of MLflow."""
    return address.startswith(PREFIX)


@dataclass(frozen=True)
class MlflowAddress:
    """A registered model, and which of its versions.

    Attributes
    ----------
    name
        The name of the registered model.
    alias
        The alias whose version is meant; None if `number` is given.
    number
        The number of the version; None if `alias` is given.
    """

    name: str
    alias: str | None
    number: str | None

    @classmethod
    def parse(cls, address: str) -> MlflowAddress:
        """Parse `mlflow:NAME@ALIAS` or `mlflow:NAME/VERSION`.

        Raises
        ------
        RequestError
            If it has another form.
        """
        match = _ADDRESS.fullmatch(address.removeprefix(PREFIX)) if is_mlflow(address) else None
        if match is None:
            raise RequestError(f"{address}: expected mlflow:NAME@ALIAS or mlflow:NAME/VERSION")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}" + (f"/{self.number}" if self.alias is None else f"@{self.alias}")


def check_name(address: str) -> str:
    """Return the name of the registered model in `mlflow:NAME`.

    Raises
    ------
    RequestError
        If `address` has another form.
    """
    name = address.removeprefix(PREFIX)
    if not is_mlflow(address) or not _NAME.fullmatch(name):
        raise RequestError(f"{address}: expected mlflow:NAME, where NAME has letters, digits, spaces, '.', '_' and '-'")
    return name


def check_alias(alias: str) -> str:
    """Return `alias`.

    Raises
    ------
    RequestError
        If MLflow does not allow it.
    """
    if not _ALIAS.fullmatch(alias) or re.fullmatch(r"[vV]?[0-9]+", alias) or alias.lower() == "latest":
        raise RequestError(f"--alias: expected a name such as champion, received {alias!r}")
    return alias
