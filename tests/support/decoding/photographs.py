"""Two photographs that come with scikit-learn: a palace and a daisy."""

from __future__ import annotations

import io

from PIL import Image
from sklearn.datasets import load_sample_image


def daisy() -> bytes:
    """A photograph of a flower as PNG, 320 x 213 px."""
    return _png("flower.jpg")


def palace() -> bytes:
    """A photograph of a building as PNG, 320 x 213 px."""
    return _png("china.jpg")


def _png(name: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(load_sample_image(name)).resize((320, 213)).save(content, "PNG")
    return content.getvalue()
