"""Images of Spark's schema as arrays and Pillow images, and back: the functions of `imageIO` of the original sparkdl.

The names, arguments and defaults are those of Deep Learning Pipelines 1.5, where the module was `sparkdl.image.imageIO`
(`import sparkdl.legacy` gives that name too). Code for new pipelines is better off with `sparkdl.read_images` and
`sparkdl.decode`, which decode in a separate process.

Examples
--------
>>> import numpy as np
>>> from sparkdl import imageIO
>>> row = imageIO.imageArrayToStruct(np.zeros((2, 3, 3), np.uint8), origin="black.png")
>>> row.mode, row.height, row.width
(16, 2, 3)
>>> imageIO.imageStructToArray(row).shape
(2, 3, 3)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyspark.sql import Row
from pyspark.sql.types import BinaryType, StringType, StructField, StructType

from sparkdl.errors import RequestError, unknown
from sparkdl.images.schema import IMAGE_TYPE

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame

__all__ = [
    "PIL_decode",
    "PIL_decode_and_resize",
    "PIL_to_imageStruct",
    "createResizeImageUDF",
    "filesToDF",
    "fixColorChannelOrdering",
    "imageArrayToStruct",
    "imageStructToArray",
    "imageStructToPIL",
    "imageTypeByName",
    "imageTypeByOrdinal",
    "readImagesWithCustomFn",
]


class OcvType(NamedTuple):
    """A type of pixels of OpenCV: its name, its number in the field `mode`, its channels, its numpy type."""

    name: str
    ord: int
    nChannels: int
    dtype: str


_TYPES = tuple(
    OcvType(f"CV_{kind}C{channels}", depth + 8 * (channels - 1), channels, dtype)
    for channels in (1, 3, 4)
    for kind, depth, dtype in (("8U", 0, "uint8"), ("32F", 5, "float32"))
)
_FILES = StructType([StructField("filePath", StringType(), False), StructField("fileData", BinaryType(), False)])


def imageTypeByOrdinal(ordinal: int) -> OcvType:
    """Return the type whose number is `ordinal`; a KeyError if there is none.

    >>> imageTypeByOrdinal(16).name
    'CV_8UC3'
    """
    for kind in _TYPES:
        if kind.ord == ordinal:
            return kind
    raise KeyError(f"expected the mode of an image, one of {_described()}, received {ordinal!r}")


def imageTypeByName(name: str) -> OcvType:
    """Return the type called `name`; a KeyError if there is none.

    >>> imageTypeByName("CV_32FC1").ord
    5
    """
    for kind in _TYPES:
        if kind.name == name:
            return kind
    raise KeyError(f"expected the name of a mode, one of {_described()}, received {name!r}")


def _described() -> str:
    return ", ".join(f"{kind.name} ({kind.ord})" for kind in _TYPES)


def imageArrayToStruct(imgArray: NDArray[Any], origin: str = "") -> Row:
    """Return an array, uint8 or float32 [H, W, C] or [1, H, W, C], as a row of Spark's image schema.

    The channels, 1, 3 or 4, are taken to be in the order of the schema, BGR.
    """
    if imgArray.ndim == 4:
        if len(imgArray) != 1:
            raise RequestError(f"expected one image, [1, H, W, C], received {list(imgArray.shape)}")
        imgArray = imgArray[0]
    kinds = {(kind.nChannels, kind.dtype): kind for kind in _TYPES}
    kind = kinds.get((imgArray.shape[-1], str(imgArray.dtype))) if imgArray.ndim == 3 else None
    if kind is None:
        received = f"{imgArray.dtype} {list(imgArray.shape)}"
        raise RequestError(f"expected uint8 or float32 [H, W, 1, 3 or 4], received {received}")
    height, width, channels = imgArray.shape
    data = bytearray(np.ascontiguousarray(imgArray).tobytes())
    return Row(origin=origin, height=height, width=width, nChannels=channels, mode=kind.ord, data=data)


def imageStructToArray(imageRow: Row) -> NDArray[Any]:
    """Return a row of Spark's image schema as an array [H, W, C], uint8 or float32, its channels in BGR order."""
    kind = imageTypeByOrdinal(imageRow.mode)
    shape = (imageRow.height, imageRow.width, imageRow.nChannels)
    return np.ndarray(shape, kind.dtype, imageRow.data)


def imageStructToPIL(imageRow: Row) -> Image.Image:
    """Return a row of Spark's image schema, of 8-bit pixels, as a Pillow image: L, RGB or RGBA."""
    kind = imageTypeByOrdinal(imageRow.mode)
    if kind.dtype != "uint8":
        raise RequestError(f"expected an image of 8-bit pixels, received {kind.name}")
    array = imageStructToArray(imageRow)
    if kind.nChannels == 1:
        return Image.fromarray(array[:, :, 0])
    return Image.fromarray(np.ascontiguousarray(_swap(array)))


def PIL_to_imageStruct(img: Image.Image) -> NDArray[np.uint8]:
    """Return a Pillow image as an array in the order of Spark's image schema: [H, W, 1] of L, BGR, or BGRA."""
    array = np.asarray(img)
    return _swap(array if array.ndim == 3 else array[:, :, np.newaxis])


def fixColorChannelOrdering(currentOrder: str, imgAry: NDArray[Any]) -> NDArray[Any]:
    """Return an array whose channels are in `currentOrder`, RGB, BGR or L, in BGR order."""
    if currentOrder == "RGB":
        return _swap(imgAry)
    if currentOrder == "BGR":
        return imgAry
    if currentOrder == "L":
        if imgAry.ndim > 2 and imgAry.shape[-1] != 1:
            raise RequestError(f"expected one channel for order L, received {list(imgAry.shape)}")
        return imgAry
    raise unknown("order of channels", currentOrder, ("RGB", "BGR", "L"))


def _swap(array: NDArray[Any]) -> NDArray[Any]:
    """Swap the first and the third channel; a fourth, alpha, stays."""
    channels = array.shape[-1]
    return array if channels < 3 else array[..., [2, 1, 0, *range(3, channels)]]


def createResizeImageUDF(size: Sequence[int]) -> Callable[..., Any]:
    """Return a function of an image column that resizes its images to `size`, (height, width) in pixels.

    >>> images = createResizeImageUDF((224, 224))
    >>> frame.select(images("image"))  # doctest: +SKIP
    """
    from pyspark.sql.functions import udf

    if len(size) != 2:
        raise RequestError(f"expected a size (height, width), received {size!r}")
    height, width = size

    def resize(image: Row) -> Row | None:
        if image is None or (image.height, image.width) == (height, width):
            return image
        resized = imageStructToPIL(image).resize((width, height))
        return imageArrayToStruct(PIL_to_imageStruct(resized), image.origin)

    resized: Callable[..., Any] = udf(resize, IMAGE_TYPE)
    return resized


def filesToDF(sc: SparkContext, path: str, numPartitions: int | None = None) -> DataFrame:
    """Return the files at a path, a folder or a glob, as rows `filePath string, fileData binary`."""
    from pyspark.sql import SparkSession

    count = numPartitions or sc.defaultParallelism
    files = sc.binaryFiles(path, minPartitions=count).repartition(count)
    rows = files.map(lambda file: (file[0], bytearray(file[1])))
    return SparkSession.builder.getOrCreate().createDataFrame(rows, _FILES)


def PIL_decode(raw_bytes: bytes) -> NDArray[np.uint8]:
    """Return an encoded image, decoded by Pillow in this process, as an array for `imageArrayToStruct`."""
    with Image.open(BytesIO(raw_bytes)) as image:
        return PIL_to_imageStruct(_plain(image))


def PIL_decode_and_resize(size: Sequence[int]) -> Callable[[bytes], NDArray[np.uint8]]:
    """Return a function as `PIL_decode` that resizes to `size`, (width, height) in pixels, as Pillow orders it."""
    width, height = size

    def decode(raw_bytes: bytes) -> NDArray[np.uint8]:
        with Image.open(BytesIO(raw_bytes)) as image:
            return PIL_to_imageStruct(_plain(image).resize((width, height)))

    return decode


def _plain(image: Image.Image) -> Image.Image:
    """Return an image of a mode that the schema has: others, such as a palette, become RGB."""
    return image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")


def readImagesWithCustomFn(
    path: str, decode_f: Callable[[bytes], NDArray[Any]], numPartition: int | None = None
) -> DataFrame:
    """Return the images at a path as rows `image`, decoded by `decode_f`; null for a file that it fails on.

    Parameters
    ----------
    decode_f
        From the bytes of a file to an array for `imageArrayToStruct`, such as `PIL_decode`. It runs in Spark's Python
        workers: unlike `sparkdl.read_images`, a file that crashes it ends the job.
    """
    from pyspark import SparkContext
    from pyspark.sql.functions import udf

    def decode(origin: str, content: bytes) -> Row | None:
        try:
            return imageArrayToStruct(decode_f(bytes(content)), origin)
        except Exception:  # noqa: BLE001 - whatever the function raises on such a file
            return None

    image = udf(decode, IMAGE_TYPE)
    files = filesToDF(SparkContext.getOrCreate(), path, numPartition)
    return files.select(image("filePath", "fileData").alias("image"))
