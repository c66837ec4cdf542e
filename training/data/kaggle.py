"""Kaggle datasets, downloaded with Kaggle's own client `kagglehub`, an optional extra of this package."""

from __future__ import annotations

import importlib
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.system.extras import require_extra

SCHEME = "kaggle:"
_HANDLE = re.compile(r"[\w-]+/[\w-]+(/versions/[1-9]\d*)?", re.ASCII)
_LOGIN = "a dataset that is not public needs a login: set KAGGLE_API_TOKEN, or see kaggle.com/settings"
_ERRORS = {
    401: f"Kaggle does not accept the login ({_LOGIN})",
    403: f"Kaggle refuses access: the dataset may be private, or its terms must be accepted first ({_LOGIN})",
    404: f"Kaggle has no such dataset ({_LOGIN})",
}
_MAX_MESSAGE_LENGTH = 300  # characters of a third-party message


def download(address: str) -> Path:
    """Download `kaggle:OWNER/NAME`, or one version of it, `kaggle:OWNER/NAME/versions/N`; return its directory.

    kagglehub downloads a dataset once and keeps it in its cache (`KAGGLEHUB_CACHE`, by default a folder in the user's
    home).

    Raises
    ------
    RequestError
        If the address is malformed, kagglehub is not installed, or Kaggle refuses access to the dataset.
    SparkdlError
        If Kaggle cannot be reached, or the download fails.
    """
    handle = address.removeprefix(SCHEME)
    if not _HANDLE.fullmatch(handle):
        raise RequestError(f"expected {SCHEME}OWNER/NAME, such as {SCHEME}BengaliAI/numta, received {address!r}")
    require_extra("kaggle", address)
    with redirect_stdout(sys.stderr):  # kagglehub prints its progress on stdout, which is reserved for data
        kagglehub = importlib.import_module("kagglehub")
        try:
            return Path(kagglehub.dataset_download(handle))
        except Exception as error:
            raise _describe_error(address, error) from error


def _describe_error(address: str, error: Exception) -> SparkdlError:
    """Convert an exception of kagglehub or of its libraries, which share no base class."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in _ERRORS:
        return RequestError(f"{address}: {_ERRORS[status]}")
    message = " ".join(str(error).split())[:_MAX_MESSAGE_LENGTH]
    if type(error).__name__ in {"ConnectionError", "ConnectTimeout", "ReadTimeout", "SSLError", "ProxyError"}:
        return SparkdlError(f"{address}: Kaggle cannot be reached: {message}")
    return SparkdlError(f"{address}: the download failed: {type(error).__name__}: {message}")
