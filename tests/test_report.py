"""The report: its files, that its plots show something, and that its page holds whatever the classes are called."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.datasets import Dataset, LabelledImage
from training.evaluate import Evaluation
from training.fit import Unreadable
from training.report import sample_rows, write_report
from training.samples import draw_png

PLOTS = ("confusion_matrix.png", "roc.png", "samples.png", "misclassified.png")
FILES = ("metrics.json", "report.md", "per_class.csv", "predicted_samples.csv", *PLOTS)


def measured(classes: tuple[str, ...], each: int = 5) -> tuple[Evaluation, Dataset]:
    """`each` drawn images a class; the first of each class is taken for the next class."""
    k = len(classes)
    images, said = [], []
    for place, name in enumerate(classes):
        for i in range(each):
            images.append(LabelledImage(f"{place}/{i}.png", name, payload=draw_png(place % 10, i)))
            said.append((place + 1) % k if i == 0 else place)
    probabilities = np.full((len(images), k), 0.3 / k)
    probabilities[np.arange(len(images)), said] += 0.7
    evaluation = Evaluation(
        classes,
        tuple(image.name for image in images),
        tuple(image.label for image in images),
        tuple(classes[i] for i in said),
        probabilities,
        (Unreadable("0/bad.png", "empty", "0 bytes"),),
    )
    return evaluation, Dataset("here", tuple(images))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 15 images of three classes, three of them wrong."""
    directory = tmp_path_factory.mktemp("report")
    write_report(directory, *measured(("cat", "dog", "owl")), {"model": "20260101T000000-x"})
    return directory


def table_rows(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("|")]


def is_blank(picture: Path) -> bool:
    with Image.open(picture) as image:
        image.load()
        return all(low == high for low, high in image.convert("RGB").getextrema())


def test_a_report_is_these_files(report: Path) -> None:
    assert sorted(path.name for path in report.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_opens_and_is_not_blank(report: Path, name: str) -> None:
    assert not is_blank(report / name)


def test_the_json_is_the_metrics(report: Path) -> None:
    evaluation, _ = measured(("cat", "dog", "owl"))
    assert json.loads((report / "metrics.json").read_text(encoding="utf-8")) == evaluation.metrics


def test_the_table_of_classes_is_a_csv(report: Path) -> None:
    with (report / "per_class.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], float(row["recall"]), int(row["support"])) for row in rows] == [
        ("cat", 0.8, 5),
        ("dog", 0.8, 5),
        ("owl", 0.8, 5),
    ]


def test_the_csv_of_predictions_has_every_image_once(report: Path) -> None:
    evaluation, dataset = measured(("cat", "dog", "owl"))
    with (report / "predicted_samples.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["id"] for row in rows) == sorted(image.name for image in dataset)
    assert sum(row["label"] != row["prediction"] for row in rows) == 3
    assert sample_rows(evaluation) == sample_rows(evaluation)


def test_the_page_states_the_figures_and_shows_the_plots(report: Path) -> None:
    page = (report / "report.md").read_text(encoding="utf-8")
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    low, high = metrics["accuracy_interval"]
    assert "| model | 20260101T000000-x |" in page
    assert "Measured on 15 images" in page
    assert f"| accuracy | 0.8000 (95% interval {low:.4f} to {high:.4f}) |" in page
    for name, key in (
        ("precision, weighted", "precision_weighted"),
        ("recall, weighted", "recall_weighted"),
        ("F1, weighted", "f1_weighted"),
        ("F1, macro", "f1_macro"),
        ("ROC-AUC, one versus rest", "roc_auc"),
    ):
        assert f"| {name} | {metrics[key]:.4f} |" in page
    assert "| images that could not be decoded | 1 |" in page
    assert "| owl | 0.800 | 0.800 | 0.800 | 5 |" in page
    assert "The 3 mistakes" in page
    for plot in PLOTS:
        assert f"]({plot})" in page


def test_class_names_cannot_break_the_page_or_the_plots(tmp_path: Path) -> None:
    names = (
        "a|b",
        "<script>",
        "cost $x^ or $",
        "two\nlines",
        "back\\|slash",
        "a name that is longer than a tile is wide",
        "![x](https://example.org/x.png)",
        "`code` \x1b[2J\u202e",
        "\\$a$ \\frac{",
        "\x00\x9b",
        "w" * 5000,
    )
    write_report(tmp_path, *measured(names), {"data": "x|y<z"})
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    widths = {row.count("|") for row in table_rows(page)}
    assert widths == {3, 6}  # tables of two and of five columns
    assert sum(row.count("|") == 6 for row in table_rows(page)) == 2 + len(names)
    assert "<script>" not in page
    assert "![x]" not in page
    assert not {"\x00", "\x1b", "\x9b", "\u202e", "`"} & set(page)
    assert max(map(len, page.splitlines())) < 1000
    assert "| data | x&#124;y&lt;z |" in page
    assert not any(is_blank(tmp_path / plot) for plot in PLOTS)


def test_class_names_of_any_script_do(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the plots' font has no Bengali
        write_report(tmp_path, *measured(("০", "১", "২")), {"data": "সংখ্যা"})
    assert "| ১ | 0.800 |" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert list(json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["per_class"]) == ["০", "১", "২"]


def test_many_classes_fit(tmp_path: Path) -> None:
    write_report(tmp_path, *measured(tuple(f"class {i}" for i in range(45)), each=2), {})
    for name in PLOTS:
        with Image.open(tmp_path / name) as image:
            assert max(image.size) < 2000
        assert not is_blank(tmp_path / name)


def test_a_report_without_a_mistake_says_so(tmp_path: Path) -> None:
    evaluation, dataset = measured(("cat", "dog"))
    right = [i for i, name in enumerate(evaluation.names) if not name.endswith("/0.png")]
    perfect = Evaluation(
        evaluation.classes,
        tuple(evaluation.names[i] for i in right),
        tuple(evaluation.labels[i] for i in right),
        tuple(evaluation.predictions[i] for i in right),
        evaluation.probabilities[right],
    )
    write_report(tmp_path, perfect, dataset, {})
    assert "The 0 mistakes" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not is_blank(tmp_path / "misclassified.png")


def test_a_report_on_some_of_the_classes_has_no_auc(tmp_path: Path) -> None:
    evaluation, dataset = measured(("cat", "dog"))
    wider = Evaluation(
        ("cat", "dog", "owl"),
        evaluation.names,
        evaluation.labels,
        evaluation.predictions,
        np.pad(evaluation.probabilities, ((0, 0), (0, 1))),
    )
    write_report(tmp_path, wider, dataset, {})
    assert "| ROC-AUC, one versus rest | - |" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_picture_of_16_bits_is_shown_with_its_grays(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (96, 1))).save(file, "PNG")
    image = LabelledImage("deep.png", "cat", payload=file.getvalue())
    evaluation = Evaluation(("cat", "dog"), ("deep.png",), ("cat",), ("cat",), np.array([[0.9, 0.1]]))
    write_report(tmp_path, evaluation, Dataset("here", (image,)), {})
    with Image.open(tmp_path / "samples.png") as sheet:
        tile = np.asarray(sheet.convert("L").crop((4, 4, 100, 100)))
    assert tile[50, 5] < 40
    assert 90 < tile[50, 48] < 165
    assert tile[50, 90] > 215
