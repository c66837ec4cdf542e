"""Data sets of Kaggle's, downloaded by its own client `kagglehub`, which is an extra of this package."""

from __future__ import annotations

import importlib
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

from sparkdl.errors import RequestError, SparkdlError

SCHEME = "kaggle:"
_HANDLE = re.compile(r"[\w-]+/[\w-]+(/versions/[1-9]\d*)?", re.ASCII)
_LOGIN = "a data set that is not public needs a login: set KAGGLE_API_TOKEN, or see kaggle.com/settings"
_ANSWERS = {
    401: f"Kaggle knows no such login ({_LOGIN})",
    403: f"Kaggle does not give it out: it may be private, or its terms have to be accepted first ({_LOGIN})",
    404: f"Kaggle has no such data set ({_LOGIN})",
}
_LONGEST = 300  # characters of somebody else's message


def download(address: str) -> Path:
    """The directory of `kaggle:OWNER/NAME`, or of one version of it, `kaggle:OWNER/NAME/versions/N`.

    It is downloaded once and then lies where kagglehub keeps it (`KAGGLEHUB_CACHE`, else a folder in the home).

    Raises
    ------
    RequestError
        If the address is no such name, kagglehub is not installed, or Kaggle does not give the data set out.
    SparkdlError
        If Kaggle cannot be reached, or the download fails.
    """
    handle = address.removeprefix(SCHEME)
    if not _HANDLE.fullmatch(handle):
        raise RequestError(f"expected {SCHEME}OWNER/NAME, such as {SCHEME}BengaliAI/numta, received {address!r}")
    with redirect_stdout(sys.stderr):  # it tells of its progress there, where data goes
        try:
            kagglehub = importlib.import_module("kagglehub")
        except ModuleNotFoundError as error:
            raise RequestError(
                f"{address}: downloads from Kaggle need kagglehub: pip install 'sparkdl-streaming[kaggle]'"
            ) from error
        try:
            return Path(kagglehub.dataset_download(handle))
        except Exception as error:
            raise _explained(address, error) from error


def _explained(address: str, error: Exception) -> SparkdlError:
    """What `error` of kagglehub's, or of the libraries that it uses, means; they have no base of their own."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in _ANSWERS:
        return RequestError(f"{address}: {_ANSWERS[status]}")
    said = " ".join(str(error).split())[:_LONGEST]
    if type(error).__name__ in {"ConnectionError", "ConnectTimeout", "ReadTimeout", "SSLError", "ProxyError"}:
        return SparkdlError(f"{address}: Kaggle cannot be reached: {said}")
    return SparkdlError(f"{address}: the download failed: {type(error).__name__}: {said}")
