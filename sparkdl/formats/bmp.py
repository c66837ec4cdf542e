"""BMP: headers and the end of the rows, which are padded to 4 bytes. The format has no checksum."""

from __future__ import annotations

import struct

from sparkdl.formats.structure import CheckSize, reject_truncated
from sparkdl.formats.variants import check_bmp


def scan_bmp(payload: bytes, check_size: CheckSize) -> None:
    size = len(payload)
    file_size, offset, header = struct.unpack_from("<I4xII", payload, 2)
    if size < 14 + header:
        reject_truncated(f"BMP: {size} bytes, ends inside the header")
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", payload, 18)
        compression, data_size = 0, 0
    else:
        width, height, _, bits, compression, data_size = struct.unpack_from("<iiHHII", payload, 18)
    # A negative height means that the first row is the top one.
    check_size(width, abs(height))
    check_bmp(payload, header, bits, compression)
    start = max(offset, 14 + header)
    if compression in (1, 2):
        whole = start + data_size if data_size else file_size
    else:
        whole = start + (width * bits + 31) // 32 * 4 * abs(height)
    if whole > size:
        reject_truncated(f"BMP: {size} of {whole} bytes")
