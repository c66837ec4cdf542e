"""Image processors of Hugging Face's `preprocessor_config.json`, and timm's `pretrained_cfg`, as descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL.Image import Resampling

from sparkdl.errors import RequestError
from sparkdl.networks.framing import Framing
from sparkdl.networks.imported.description import Described, Normalization

Size = int | tuple[int, int]
"""The length of the shorter side, or height and width."""

_HALF, _ONE = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_MAX_SIDE = 4096
_FLIPS, _TWICE, _LEVIT, _CONVNEXT, _CROP_SHARE = "flips", "normalizes twice", "levit", "convnext", "crop share"
_UNREAD = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_crop_margin")
_CONVNEXT_WARPS = 384  # pixels: from this size on, images are resized without a crop
_LEVIT_SHARE = 256 / 224


@dataclass(frozen=True)
class _Processor:
    """The defaults of one kind of processor: what a file leaves out."""

    size: Size
    crop: int | None
    resample: Resampling
    mean: tuple[float, ...] = _HALF
    std: tuple[float, ...] = _HALF
    peculiar: str = ""


_BILINEAR, _BICUBIC = Resampling.BILINEAR, Resampling.BICUBIC
_PROCESSORS = {
    "Beit": _Processor((256, 256), 224, _BICUBIC),
    "Bit": _Processor(224, 224, _BICUBIC, *_CLIP),
    "CLIP": _Processor(224, 224, _BICUBIC, *_CLIP),
    "ConvNext": _Processor(384, None, _BILINEAR, peculiar=_CONVNEXT),
    "DeiT": _Processor((256, 256), 224, _BICUBIC),
    "EfficientNet": _Processor((346, 346), None, Resampling.NEAREST, peculiar=_TWICE),
    "Levit": _Processor(224, 224, _BICUBIC, *_IMAGENET, peculiar=_LEVIT),
    "MobileNetV1": _Processor(256, 224, _BILINEAR),
    "MobileNetV2": _Processor(256, 224, _BILINEAR),
    "MobileViT": _Processor(224, 256, _BILINEAR, (0.0,), (1.0,), peculiar=_FLIPS),
    "PoolFormer": _Processor(224, 224, _BICUBIC, *_IMAGENET, peculiar=_CROP_SHARE),
    "Pvt": _Processor((224, 224), None, _BILINEAR, *_IMAGENET),
    "Segformer": _Processor((512, 512), None, _BILINEAR, *_IMAGENET),
    "Siglip": _Processor((224, 224), None, _BICUBIC),
    "ViT": _Processor((224, 224), None, _BILINEAR),
}
"""The processors that are read, by the stem of their class; the models of others name one of these."""

_SHARE = {"ConvNext": 224 / 256, "PoolFormer": 0.9}


def described_by_processor(config: Mapping[str, Any], origin: str) -> Described:
    """Return what a `preprocessor_config.json` states; `origin` is what messages call it.

    Raises
    ------
    RequestError
        If it is of a kind that is not read, or a value has another form.
    """
    kind = _kind(config, origin)
    defaults = _PROCESSORS[kind]
    for name in _UNREAD:
        if config.get(name):
            raise RequestError(f"{origin}: {name} is not read: give --input-size and --resize")
    if config.get("do_resize") is False:
        raise RequestError(f"{origin}: do_resize is false, so its images have no one size: give --input-size")
    size = _size(config.get("size", defaults.size), origin, square=isinstance(defaults.size, tuple))
    crops = config.get("do_center_crop", defaults.crop is not None)
    crop = _square(config.get("crop_size", defaults.crop or size), origin) if crops else None
    share = config.get("crop_pct")
    share = _number(_SHARE.get(kind, 1.0) if share is None else share, f"{origin}: crop_pct", least=0.05)
    if defaults.peculiar == _LEVIT and isinstance(size, int):
        size = int(_LEVIT_SHARE * size)
    elif defaults.peculiar == _CONVNEXT and isinstance(size, int):
        crop = (size, size)
        size = (size, size) if size >= _CONVNEXT_WARPS else int(size / share)
    elif defaults.peculiar == _CROP_SHARE:
        size = _shared(size, share)
    if isinstance(size, int) and crop is None:
        raise RequestError(f"{origin}: it keeps the aspect ratio and does not crop: give --input-size")
    input_size = crop or (size if isinstance(size, tuple) else (size, size))
    return Described(
        input_size=input_size,
        framing=Framing(None if size == input_size else size),
        resample=_resample(config.get("resample", defaults.resample), origin),
        channels="BGR" if config.get("do_flip_channel_order", defaults.peculiar == _FLIPS) else "RGB",
        normalization=_normalization(config, defaults, origin),
    )


def _shared(size: Size, share: float) -> Size:
    if isinstance(size, int):
        return int(size / share)
    height, width = size
    return int(height / share) if height == width else (int(height / share), int(width / share))


def _kind(config: Mapping[str, Any], origin: str) -> str:
    name = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
    stem = str(name)
    for ending in ("Fast", "ImageProcessor", "FeatureExtractor"):
        stem = stem.removesuffix(ending)
    if stem not in _PROCESSORS:
        known = ", ".join(f"{kind}ImageProcessor" for kind in _PROCESSORS)
        raise RequestError(
            f"{origin}: its image processor is {str(name)[:80]!r}, expected one of {known}; or leave the file out, and "
            "give --input-size, --resize and --normalize"
        )
    return stem


def _normalization(config: Mapping[str, Any], defaults: _Processor, origin: str) -> Normalization:
    scale = 1.0
    if config.get("do_rescale", True):
        scale = _number(config.get("rescale_factor", 1 / 255), f"{origin}: rescale_factor")
    offset = 1.0 if config.get("rescale_offset") else 0.0
    if config.get("do_normalize", defaults.mean != (0.0,)):
        mean = _values(config.get("image_mean") or defaults.mean, f"{origin}: image_mean")
        std = _values(config.get("image_std") or defaults.std, f"{origin}: image_std")
    else:
        mean, std = (0.0,), (1.0,)
    mean = tuple(value + offset for value in mean)
    if defaults.peculiar == _TWICE and config.get("include_top", True):
        again = _values(config.get("image_std") or defaults.std, f"{origin}: image_std")
        count = max(len(std), len(again))
        std = tuple(a * b for a, b in zip(std * (count // len(std)), again * (count // len(again)), strict=True))
    return Normalization(scale, mean, std)


def described_by_timm(config: Mapping[str, Any], origin: str) -> Described:
    """Return what timm's `pretrained_cfg` states; `origin` is what messages call it.

    Raises
    ------
    RequestError
        If a value has another form.
    """
    shape = config.get("input_size")
    if not isinstance(shape, list) or len(shape) != 3 or shape[0] != 3:
        raise RequestError(f"{origin}: expected input_size as [3, height, width], received {str(shape)[:80]}")
    height, width = (_side(side, f"{origin}: input_size") for side in shape[1:])
    share = _number(config.get("crop_pct", 0.875), f"{origin}: crop_pct", least=0.05)
    mode = config.get("crop_mode", "center")
    if mode not in ("center", "squash"):
        raise RequestError(f"{origin}: expected crop_mode center or squash, received {str(mode)[:80]!r}")
    size = _shared((height, width), share)
    if mode == "squash" and isinstance(size, int):
        size = (size, size)
    named = str(config.get("interpolation", "bicubic")).upper()
    if named not in Resampling.__members__:
        raise RequestError(f"{origin}: expected interpolation as one of Pillow's filters, received {named[:80]!r}")
    mean = _values(config.get("mean", _IMAGENET[0]), f"{origin}: mean")
    std = _values(config.get("std", _IMAGENET[1]), f"{origin}: std")
    return Described(
        input_size=(height, width),
        framing=Framing(None if size == (height, width) else size),
        resample=Resampling[named],
        channels="RGB",
        normalization=Normalization(1 / 255, mean, std),
    )


def _size(value: Any, origin: str, *, square: bool) -> Size:
    """Return a size as `size` states it; `square` tells what an integer means."""
    what = f"{origin}: size"
    if isinstance(value, Mapping):
        if set(value) == {"shortest_edge"}:
            return _side(value["shortest_edge"], what)
        if set(value) != {"height", "width"}:
            raise RequestError(f"{what}: expected height and width, or shortest_edge; received {', '.join(value)[:80]}")
        return _side(value["height"], what), _side(value["width"], what)
    if isinstance(value, list | tuple) and len(value) == 2:
        return _side(value[0], what), _side(value[1], what)
    side = _side(value, what)
    return (side, side) if square else side


def _square(value: Any, origin: str) -> tuple[int, int]:
    size = _size(value, origin, square=True)
    return size if isinstance(size, tuple) else (size, size)


def _side(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_SIDE:
        raise RequestError(f"{what}: expected 1 to {_MAX_SIDE} pixels, received {str(value)[:80]}")
    return value


def _number(value: Any, what: str, *, least: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or (least is not None and not least <= value <= 1):
        raise RequestError(f"{what}: expected a number, received {str(value)[:80]}")
    return float(value)


def _values(value: Any, what: str) -> tuple[float, ...]:
    values = [value] if isinstance(value, int | float) else value
    if not isinstance(values, list | tuple):
        raise RequestError(f"{what}: expected a number a channel, received {str(value)[:80]}")
    return tuple(_number(number, what) for number in values)


def _resample(value: Any, origin: str) -> Resampling:
    try:
        return Resampling(value)
    except ValueError as error:
        raise RequestError(
            f"{origin}: expected resample as the number of a Pillow filter, received {str(value)[:80]}"
        ) from error
