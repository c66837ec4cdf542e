"""What the tests of reports share: an evaluation without a model, and what is in a written report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from training.data.dataset import UnreadableImage
from training.data.loading import Dataset, LabelledImage
from training.data.synthetic.digits import draw_png
from training.evaluation.evaluate import Evaluation
from training.reporting.provenance import Provenance

HERE = Provenance("all images of here", {})


def measured(classes: tuple[str, ...], each: int = 5) -> tuple[Evaluation, Dataset]:
    """`each` drawn images a class; the first of each class is taken for the next class."""
    k = len(classes)
    images, predicted = [], []
    for place, name in enumerate(classes):
        for i in range(each):
            images.append(LabelledImage(f"{place}/{i}.png", name, payload=draw_png(place % 10, i)))
            predicted.append((place + 1) % k if i == 0 else place)
    probabilities = np.full((len(images), k), 0.3 / k)
    probabilities[np.arange(len(images)), predicted] += 0.7
    evaluation = Evaluation(
        classes,
        tuple(image.name for image in images),
        tuple(image.label for image in images),
        tuple(classes[i] for i in predicted),
        probabilities,
        (UnreadableImage("0/bad.png", "empty", "0 bytes"),),
    )
    return evaluation, Dataset("here", tuple(images))


def against(classes: tuple[str, ...]) -> tuple[str, Evaluation, str, Evaluation]:
    """`measured`, and another model that has the first class's images right instead, and else says the same."""
    first, _ = measured(classes)
    predicted = [
        label if label == classes[0] else word for label, word in zip(first.labels, first.predictions, strict=True)
    ]
    probabilities = np.array([[0.9 if name == word else 0.1 / len(classes) for name in classes] for word in predicted])
    return "this one", first, "the other", replace(first, predictions=tuple(predicted), probabilities=probabilities)


def page_of(directory: Path) -> str:
    return (directory / "report.md").read_text(encoding="utf-8")


def tables(page: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by its header."""
    found: dict[str, list[list[str]]] = {}
    for block in page.split("\n\n"):
        lines = [
            [cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines() if line.startswith("|")
        ]
        if lines:
            found[", ".join(lines[0])] = lines[2:]
    return found


def is_blank(picture: Path) -> bool:
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    return bool((pixels == pixels[0, 0]).all())
