"""The report: its files, that its plots show something, and that its page holds whatever the classes are called."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fonts import make_font
from PIL import Image
from reports import HERE, against, is_blank, measured, page_of, tables

from training.data.loading import Dataset, LabelledImage
from training.data.synthetic.digits import draw_png
from training.evaluation.comparison import compare
from training.evaluation.evaluate import Evaluation, Throughput
from training.evaluation.intervals import wilson
from training.reporting.provenance import Provenance
from training.reporting.report import sample_rows, write_report

PLOTS = ("confusion_matrix.png", "roc.png", "reliability.png", "samples.png", "misclassified.png")
FILES = ("metrics.json", "report.md", "per_class.csv", "predicted_samples.csv", *PLOTS)


DESCRIPTION = {
    "recipe": {
        "name": "digits",
        "summary": "handwritten digits",
        "input_size": 96,
        "tap_layers": ["block7", "block14"],
    },
    "data": {"address": "digits/", "digest": "0" * 64, "images": 390, "test_images": 15, "seed": 3},
    "fit_seconds": 21.5,
    "created_at": "2026-01-01T00:00:00+00:00",
    "versions": {"python": "3.11.9", "pyspark": "4.2.0"},
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 15 images of three classes, three of them wrong."""
    directory = tmp_path_factory.mktemp("report")
    provenance = Provenance("15 of the 405 images of digits/", DESCRIPTION, "20260101T000000-x")
    write_report(directory, *measured(("cat", "dog", "owl")), provenance)
    return directory


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


def test_the_page_states_the_figures_with_their_intervals_and_shows_the_plots(report: Path) -> None:
    page = page_of(report)
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    figures = dict(tables(page)["metric, value"] + tables(page.partition("## Calibration")[0])["metric, value"])
    for name, key in (
        ("accuracy", "accuracy"),
        ("precision, macro", "precision_macro"),
        ("recall, macro", "recall_macro"),
        ("F1, macro", "f1_macro"),
        ("precision, weighted", "precision_weighted"),
        ("recall, weighted", "recall_weighted"),
        ("F1, weighted", "f1_weighted"),
    ):
        low, high = metrics[f"{key}_interval"]
        assert figures[name] == f"{metrics[key]:.4f} ({low:.4f} to {high:.4f})"
    assert figures["ROC-AUC, one versus rest, mean"] == f"{metrics['roc_auc']:.4f}"
    assert figures["expected calibration error (ECE), 15 bins of equal width"] == f"{metrics['calibration']['ece']:.4f}"
    for plot in PLOTS:
        assert f"]({plot})" in page


def test_the_page_states_the_training_data_and_the_recipe(report: Path) -> None:
    page = page_of(report)
    assert page.startswith("# Model card: 20260101T000000-x\n")
    assert dict(tables(page)[", "]) == {
        "created": "2026-01-01T00:00:00+00:00",
        "recipe": "digits: handwritten digits",
        "source": "digits/",
        "SHA-256 of the training set": "0" * 64,
        "training images": "390",
        "test images": "15",
        "seed": "3",
        "training time, s": "21.5",
    }
    assert [row[1] for row in tables(page)["setting, value"]] == ["96", "block7, block14"]
    assert dict(tables(page)["library, version"]) == DESCRIPTION["versions"]


def test_the_page_states_the_evaluation_data(report: Path) -> None:
    page = page_of(report)
    assert "15 images: 15 of the 405 images of digits/." in page
    assert "Not counted: 1 image that could not be decoded:" in page
    assert tables(page)["image, reason, detail"] == [["0/bad.png", "empty", "0 bytes"]]


def test_the_page_states_the_limitations(report: Path) -> None:
    page = page_of(report)
    assert "3 mistakes in 15 images." in page
    assert tables(page)["class, predicted as, images, share of the class"] == [
        ["cat", "dog", "1", "20.0%"],
        ["dog", "owl", "1", "20.0%"],
        ["owl", "cat", "1", "20.0%"],
    ]
    low, high = wilson(4, 5)
    assert tables(page)["class, recall, images"][0] == ["cat", f"0.800 ({low:.3f} to {high:.3f})", "5"]
    assert "The mean confidence of the mistakes is 0.800 (right predictions: 0.800)." in page


def test_the_most_frequent_confusions_come_first(tmp_path: Path) -> None:
    evaluation, dataset = measured(("cat", "dog", "owl"))
    predicted = ["dog", "owl", "owl", *evaluation.predictions[3:]]  # two cats are owls, one is a dog
    probabilities = np.array([[0.95 if name == word else 0.025 for name in evaluation.classes] for word in predicted])
    write_report(
        tmp_path, replace(evaluation, predictions=tuple(predicted), probabilities=probabilities), dataset, HERE
    )
    page = page_of(tmp_path)
    assert tables(page)["class, predicted as, images, share of the class"][:2] == [
        ["cat", "owl", "2", "40.0%"],
        ["cat", "dog", "1", "20.0%"],
    ]
    assert tables(page)["class, recall, images"][0][0] == "cat"
    assert "Of 15 predictions with a confidence of at least 0.9, 5 are mistakes." in page


def test_a_model_of_which_nothing_is_known_has_a_page_too(tmp_path: Path) -> None:
    write_report(tmp_path, *measured(("cat", "dog", "owl")), HERE)
    page = page_of(tmp_path)
    assert page.startswith("# Model card\n")
    assert "Unknown: the model is a saved pipeline without a description." in page
    assert "## Versions" not in page
    assert "## Speed" not in page


@pytest.mark.parametrize("wrong", [{"recipe": "x", "data": [1], "versions": None}, {"data": {"address": ["|"]}}])
def test_a_description_of_another_shape_does_no_harm(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_report(tmp_path, *measured(("cat", "dog", "owl")), Provenance("all images of here", wrong))
    assert dict(tables(page_of(tmp_path))[", "])["recipe"] == "-: -"


def test_the_speed_says_what_it_includes(tmp_path: Path) -> None:
    evaluation, dataset = measured(("cat", "dog", "owl"))
    write_report(tmp_path, replace(evaluation, throughput=Throughput(16, 3.2, 2)), dataset, HERE)
    assert "5.0 images per second: 16 images in 3.2 s with a parallelism of 2." in page_of(tmp_path)


@pytest.mark.parametrize(
    ("review", "stated"),
    [
        ({"confidence": 0.6, "error_rate": 0.01, "coverage": 0.942, "images": 390}, True),
        ({"confidence": 0.6}, False),  # a description written by hand
        ({"confidence": 0.7, "error_rate": 0.01, "coverage": 0.942, "images": 390}, False),  # not the one applied here
    ],
)
def test_the_page_states_coverage_and_error_rate_of_the_threshold(
    tmp_path: Path, review: dict[str, Any], stated: bool
) -> None:
    evaluation, dataset = measured(("cat", "dog", "owl"))
    provenance = Provenance("all images of here", {"review": review})
    write_report(tmp_path, replace(evaluation, review_below=0.6), dataset, provenance)
    page = page_of(tmp_path)
    assert "Predictions with a confidence of at least 0.6000 are auto-accepted; the others need review." in page
    low, high = wilson(3, 15)
    figures = tables(page)["metric, value"]
    assert figures[0][0] == "coverage (auto-accepted)"
    assert figures[0][1].startswith("1.0000 (")
    assert figures[1] == ["error rate of auto-accepted predictions", f"0.2000 ({low:.4f} to {high:.4f})"]
    origin = "chosen on 390 holdout images for an error rate of at most 1.0%; its coverage there was 94.2%."
    assert (origin in page) == stated


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
    provenance = Provenance(
        names[6], {"data": {"address": "x|y<z", names[0]: names[1]}, "versions": {names[7]: names[2]}}, names[1]
    )
    write_report(tmp_path, *measured(names), provenance, compare(*against(names)))
    page = page_of(tmp_path)
    parts = {header: {len(row) for row in rows} for header, rows in tables(page).items()}
    assert all(widths <= {header.count(", ") + 1} for header, widths in parts.items())
    assert len(tables(page)["class, precision, recall, F1, ROC-AUC, images"]) == len(names)
    assert "<script>" not in page
    assert "![x]" not in page
    assert not {"\x00", "\x1b", "\x9b", "\u202e", "`"} & set(page)
    assert max(map(len, page.splitlines())) < 1000
    assert "| source | x&#124;y&lt;z |" in page
    assert not any(is_blank(tmp_path / plot) for plot in PLOTS)


DIGITS = tuple("০১২৩৪৫৬৭৮৯")


@pytest.mark.filterwarnings("error")  # matplotlib warns of a letter that it has no glyph for
@pytest.mark.parametrize("font", [True, False])
def test_class_names_of_any_script_do(tmp_path: Path, font: bool) -> None:
    fonts = [make_font(tmp_path / "Test.ttf", DIGITS, "Test Squares")] if font else []
    report = tmp_path / "report"
    report.mkdir()
    write_report(report, *measured(DIGITS), Provenance("সংখ্যা", {}), installed_fonts=fonts)
    page = page_of(report)
    assert "| ১ | 0.800 |" in page
    assert "50 images: সংখ্যা." in page
    assert list(json.loads((report / "metrics.json").read_text(encoding="utf-8"))["per_class"]) == list(DIGITS)
    in_pictures = tables(page).get("in the pictures, class, code points")
    assert in_pictures == (
        None if font else [[f"#{i}", digit, f"U+{ord(digit):04X}"] for i, digit in enumerate(DIGITS)]
    )


def test_the_letters_of_a_font_are_in_the_pictures(tmp_path: Path) -> None:
    # The font's glyphs are filled squares, which no other font has for digits: so the ink tells that it was used.
    font = make_font(tmp_path / "Test.ttf", DIGITS, "Test Squares")
    dark = {}
    for fonts in ([font], []):
        report = tmp_path / f"report{len(fonts)}"
        report.mkdir()
        evaluation, dataset = measured(DIGITS, each=1)
        write_report(report, evaluation, dataset, HERE, installed_fonts=fonts)
        with Image.open(report / "samples.png") as sheet:
            below = np.asarray(sheet.convert("RGB").crop((4, 101, 12, 115)))
        dark[len(fonts)] = int((below.min(axis=2) < 100).sum())
    assert dark[1] > 40  # 7 x 8 pixels of a square
    assert dark[0] < 40


@pytest.mark.parametrize("classes", [25, 45, 130])
def test_many_classes_fit(tmp_path: Path, classes: int) -> None:
    write_report(tmp_path, *measured(tuple(f"class {i}" for i in range(classes)), each=2), HERE)
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
    write_report(tmp_path, perfect, dataset, HERE)
    bound = 1 - perfect.metrics["accuracy_interval"][0]
    assert f"No mistakes in 8 images; the error rate on other images may be up to {bound:.1%}." in page_of(tmp_path)
    assert "Without mistakes, only accuracy and recall have intervals." in page_of(tmp_path)
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
    write_report(tmp_path, wider, dataset, HERE)
    assert "| ROC-AUC, one versus rest, mean | - |" in page_of(tmp_path)
    assert tables(page_of(tmp_path))["class, precision, recall, F1, ROC-AUC, images"][2] == [
        "owl",
        "0.000",
        "-",
        "0.000",
        "-",
        "0",
    ]
    assert not any(is_blank(tmp_path / plot) for plot in PLOTS)


def test_a_report_on_one_image_has_its_plots(tmp_path: Path) -> None:
    image = LabelledImage("1.png", "cat", payload=draw_png(1, 1))
    evaluation = Evaluation(("cat", "dog"), ("1.png",), ("cat",), ("dog",), np.array([[0.1, 0.9]]))
    write_report(tmp_path, evaluation, Dataset("here", (image,)), HERE)
    assert "1 image: all images of here.\nAll of them could be decoded." in page_of(tmp_path)
    assert "1 mistake in 1 image." in page_of(tmp_path)
    assert not any(is_blank(tmp_path / plot) for plot in PLOTS)


def test_a_picture_of_16_bits_is_shown_with_its_grays(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(np.tile(np.linspace(0, 65535, 96).astype(np.uint16), (96, 1))).save(file, "PNG")
    image = LabelledImage("deep.png", "cat", payload=file.getvalue())
    evaluation = Evaluation(("cat", "dog"), ("deep.png",), ("cat",), ("cat",), np.array([[0.9, 0.1]]))
    write_report(tmp_path, evaluation, Dataset("here", (image,)), HERE)
    with Image.open(tmp_path / "samples.png") as sheet:
        tile = np.asarray(sheet.convert("L").crop((4, 4, 100, 100)))
    assert tile[50, 5] < 40
    assert 90 < tile[50, 48] < 165
    assert tile[50, 90] > 215


@pytest.mark.slow  # draws 1,000 images and 1,000 rows of plots, 5 s
def test_a_report_of_a_thousand_classes_stays_readable(tmp_path: Path) -> None:
    classes = tuple(f"class number {number:04}" for number in range(1000))
    evaluation, images = measured(classes, each=1)
    write_report(tmp_path, evaluation, images, Provenance("1000 images", {"imported": {"source": "x.onnx"}}))
    assert (tmp_path / "metrics.json").stat().st_size < 500_000
    page = (tmp_path / "report.md").read_text()
    assert len(page) < 30_000
    assert "The 100 classes with the lowest recall; per_class.csv has the other 900 too." in page
    assert "the model was trained elsewhere" in page
    with (tmp_path / "per_class.csv").open() as file:
        assert len(list(csv.reader(file))) == 1001
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["confusion_matrix"] is None
    assert len(metrics["confusions"]) == 100
    assert {images for _, _, images in metrics["confusions"]} == {1}
    assert all(not is_blank(tmp_path / name) for name in PLOTS)
