"""Where a running stream learns of promoted versions: a registry's `CURRENT`, or an alias in MLflow."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import SparkdlError
from sparkdl.models.mlflow.address import is_mlflow
from sparkdl.models.registry import CURRENT, ModelVersion, Registry
from streaming.monitoring.observer import Observer

if TYPE_CHECKING:
    from sparkdl.models.mlflow.alias import AliasWatch

_REMINDER = 600.0  # seconds between two warnings that a server does not answer


class ModelUpdateError(SparkdlError, ABC):
    """A promoted version is not taken; the stream continues with the one it has."""

    @abstractmethod
    def notify(self, observer: Observer) -> None:
        """Tell an observer."""


class RefusedModelError(ModelUpdateError):
    """A promoted version cannot be used.

    Attributes
    ----------
    name
        The name of the version, or of the file or alias that should name it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name

    def notify(self, observer: Observer) -> None:
        observer.model_refused(self.name, str(self))


class UnreachableModelError(ModelUpdateError):
    """It is not known whether a version was promoted, since the server does not answer.

    Attributes
    ----------
    address
        The address of the model.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(reason)
        self.address = address

    def notify(self, observer: Observer) -> None:
        observer.model_unreachable(self.address, str(self))


class Promotions(ABC):
    """What promotes the versions of a stream. `Promotions.of` returns the one of an address."""

    @staticmethod
    def of(address: str, running: ModelVersion) -> Promotions:
        """Return what promotes versions at an address, of which `running` is the first.

        A model that is neither in a registry nor named by an alias is never updated.
        """
        if is_mlflow(address):
            return _alias_promotions(running)
        path = Path(address).resolve()
        return RegistryPromotions(Registry(path)) if running.path.parent == path else NoPromotions()

    @abstractmethod
    def take(self) -> ModelVersion | None:
        """Return the version that was promoted since the last call, which may be the running one; None if none was.

        Raises
        ------
        ModelUpdateError
            If it cannot be used, or is not known.
        """

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release what is held."""


class NoPromotions(Promotions):
    """No version is ever promoted."""

    def take(self) -> ModelVersion | None:
        return None


class RegistryPromotions(Promotions):
    """The promotions in a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._known = self._signature()

    def take(self) -> ModelVersion | None:
        signature = self._signature()
        if signature in (None, self._known):
            return None
        self._known = signature
        try:
            return self._registry.current()
        except SparkdlError as error:
            raise RefusedModelError(CURRENT, str(error)) from error

    def _signature(self) -> tuple[int, int] | None:
        """Return a value that changes with each promotion, even of the same version."""
        try:
            status = (self._registry.path / CURRENT).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino


class AliasPromotions(Promotions):
    """The moves of an alias in MLflow."""

    def __init__(self, address: str, watch: AliasWatch) -> None:
        self._address, self._watch = address, watch
        self._remind_at = 0.0

    def take(self) -> ModelVersion | None:
        from sparkdl.models.mlflow.alias import Refusal
        from sparkdl.models.mlflow.tracking import UnreachableError

        try:
            found = self._watch.take()
        except UnreachableError as error:
            if time.monotonic() < self._remind_at:
                return None
            self._remind_at = time.monotonic() + _REMINDER
            raise UnreachableModelError(self._address, str(error)) from error
        if isinstance(found, Refusal):
            raise RefusedModelError(found.name, found.reason)
        return found

    def close(self) -> None:
        self._watch.close()


def _alias_promotions(running: ModelVersion) -> Promotions:
    """Return the moves of the alias of `running`; none if it has no alias."""
    from sparkdl.models.mlflow.alias import AliasWatch
    from sparkdl.models.mlflow.fetching import MlflowVersion

    if not isinstance(running, MlflowVersion) or running.address.alias is None:
        return NoPromotions()
    return AliasPromotions(str(running.address), AliasWatch(running))
