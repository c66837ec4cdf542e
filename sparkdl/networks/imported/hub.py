"""Download from the Hugging Face hub, through huggingface_hub: JSON and ONNX files only."""

from __future__ import annotations

import re
from pathlib import Path

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.imported.errors import first_line
from sparkdl.networks.imported.hugging_face import CONFIG, NETWORKS, PREPROCESSOR
from sparkdl.system.extras import require_extra

_ADDRESS = re.compile(r"hf:(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)
_FILES = [
    CONFIG,
    PREPROCESSOR,
    *NETWORKS,
    *(f"{name}_data" for name in NETWORKS),
    *(f"{name}.data" for name in NETWORKS),
]


def check_address(address: str) -> None:
    """Check an address of the hub.

    Raises
    ------
    RequestError
        If it has another form, or the extra `hf` is not installed.
    """
    if _ADDRESS.fullmatch(address) is None:
        raise RequestError(f"expected hf:OWNER/NAME or hf:OWNER/NAME@REVISION, received {address!r}")
    require_extra("hf", f"importing {address}")


def download(address: str) -> Path:
    """Return the folder of `hf:OWNER/NAME[@REVISION]` in huggingface_hub's cache, after downloading what is missing.

    Offline (`HF_HUB_OFFLINE=1`), and where the hub does not answer, the cache must have it. Logins and mirrors are set
    as for every user of huggingface_hub (`HF_TOKEN`, `HF_ENDPOINT`, `HF_HOME`).

    Raises
    ------
    RequestError
        As of `check_address`.
    SparkdlError
        If the repository cannot be had.
    """
    check_address(address)
    matched = _ADDRESS.fullmatch(address)
    assert matched is not None  # it was checked
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(matched["repository"], revision=matched["revision"], allow_patterns=_FILES))
    except Exception as error:
        raise SparkdlError(f"{address} cannot be downloaded: {first_line(error)}") from error
