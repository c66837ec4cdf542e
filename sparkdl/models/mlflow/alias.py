"""Follow an alias: ask the server in a thread, fetch what it names, and hand it over when it is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sparkdl.errors import SparkdlError
from sparkdl.models.mlflow.fetching import MlflowVersion, fetch, find_entity
from sparkdl.models.mlflow.tracking import AbsentError, UnreachableError

POLL_SECONDS = 2.0
"""Time between two questions to the server."""


@dataclass(frozen=True)
class Refusal:
    """A version, or an alias, that cannot be used, and why."""

    name: str
    reason: str


class AliasWatch:
    """Watches the alias of a version. The server is asked in a separate thread: it may take minutes to fail.

    Parameters
    ----------
    running
        The version that is used; its address has an alias.
    seconds
        Time between two questions. Default: `POLL_SECONDS`.
    """

    def __init__(self, running: MlflowVersion, seconds: float | None = None) -> None:
        self._address, self._server = running.address, running.server
        self._seconds = POLL_SECONDS if seconds is None else seconds
        self._known = running.number
        self._found: MlflowVersion | Refusal | None = None
        self._unreachable: str | None = None
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> MlflowVersion | Refusal | None:
        """Return the version that the alias has moved to since the last call, or why it cannot be used; else None.

        Raises
        ------
        UnreachableError
            If the server does not answer now.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"alias {self._address}", daemon=True)
            self._thread.start()
        with self._lock:
            found, self._found = self._found, None
            if found is None and self._unreachable is not None:
                raise UnreachableError(self._unreachable)
        return found

    def close(self) -> None:
        """End the thread, after the question that it asks."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.is_set():
            found: MlflowVersion | Refusal | None = None
            unreachable = None
            try:
                found = self._ask()
            except (UnreachableError, OSError) as error:  # of the cache's disk: it may have room later
                unreachable = str(error)
            with self._lock:
                self._found, self._unreachable = found or self._found, unreachable
            self._ending.wait(self._seconds)

    def _ask(self) -> MlflowVersion | Refusal | None:
        """Return the version that the alias names, None if that is not new."""
        try:
            entity = find_entity(self._server, self._address)
        except AbsentError as error:
            return self._new(str(self._address), "", str(error))
        number = str(entity.version)
        if number == self._known:
            return None
        try:
            version = fetch(self._server, self._address, entity)
        except UnreachableError:
            raise
        except SparkdlError as error:
            return self._new(f"mlflow:{self._address.name}/{number}", number, str(error))
        self._known = number
        return version

    def _new(self, name: str, number: str, reason: str) -> Refusal | None:
        """Return a refusal, once for each version."""
        if number == self._known:
            return None
        self._known = number
        return Refusal(name, reason)
