"""Promises of `training.data.layouts`: label folders, a split in folders, a table; which one a directory has."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from another_user import UID, shared_directory
from folders import labelled, write_files
from needs import need
from refusals import refused

from training.data.loading import Dataset, LabelledImage, Layout, open_dataset

TRAIN, VAL, TEST = (
    [f"{part}/{label}/{i}.png" for label in "ab" for i in range(count)]
    for part, count in (("train", 4), ("val", 2), ("test", 2))
)


def open_files(root: Path, *names: str, **given: object) -> Dataset:
    return open_dataset(str(write_files(root, *names)), **given)  # type: ignore[arg-type]


# Class names


def test_folders_that_differ_in_how_letters_are_composed_are_one_class_and_that_is_said(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    dataset = open_files(tmp_path, f"{composed}/1.png", f"{decomposed}/1.png", "tea/1.png")
    assert dataset.counts == {composed: 2, "tea": 1}
    assert len({image.name for image in dataset}) == 3
    (note,) = dataset.notes
    assert note.startswith(f"2 folders are one class, {composed}:")


def test_a_table_names_the_same_classes_however_letters_are_composed(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    (tmp_path / "labels.csv").write_text(f"file,label\n1.png,{composed}\n2.png,{decomposed}\n")
    assert open_files(tmp_path, "1.png", "2.png").classes == (composed,)


# A split in folders


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("train", "val", "test"), ("Training", "valid", "TEST"), ("train", "validation", "testing")],
)
def test_train_val_and_test_are_a_split_and_no_classes(tmp_path: Path, train: str, val: str, test: str) -> None:
    names = {"train": train, "val": val, "test": test}
    dataset = open_files(
        tmp_path, *(name.replace(part := name.partition("/")[0], names[part], 1) for name in (*TRAIN, *VAL, *TEST))
    )
    assert dataset.classes == ("a", "b")
    assert dataset.subsets == {"train": 8, "val": 4, "test": 4}
    training_set, test_set = dataset.split(0.5, seed=0)
    assert {image.name.partition("/")[0] for image in training_set} == {train}
    assert {image.name.partition("/")[0] for image in test_set} == {test}


def test_without_a_test_folder_the_validation_images_are_tested_on(tmp_path: Path) -> None:
    dataset = open_files(tmp_path, *TRAIN, *VAL)
    training_set, test_set = dataset.split(0.2, seed=0)
    assert (set(labelled(training_set)), set(labelled(test_set))) == (set(TRAIN), set(VAL))
    assert set(labelled(dataset.to_evaluate())) == set(VAL)


def test_images_for_training_alone_are_split_by_the_fraction(tmp_path: Path) -> None:
    dataset = open_files(tmp_path, *TRAIN)
    assert dataset.classes == ("a", "b")
    assert [len(part) for part in dataset.split(0.5, seed=0)] == [4, 4]
    with refused("for training only", str(tmp_path)):
        dataset.to_evaluate()


def test_images_for_testing_alone_are_not_trained_on(tmp_path: Path) -> None:
    dataset = open_files(tmp_path, *TEST)
    assert set(labelled(dataset.to_evaluate())) == set(TEST)
    with refused("nothing is left to train on", "test"):
        dataset.split(0.5, seed=0)


def test_a_picture_of_the_test_folder_is_not_trained_on(tmp_path: Path) -> None:
    write_files(tmp_path, *TRAIN, *TEST)
    (tmp_path / "train" / "a" / "0.png").write_bytes((tmp_path / "test" / "a" / "0.png").read_bytes())
    training_set, test_set = open_dataset(str(tmp_path)).split(0.5, seed=0)
    assert set(labelled(training_set)) == {*TRAIN} - {"train/a/0.png"}
    assert set(labelled(test_set)) == set(TEST)


def test_a_class_that_is_tested_on_must_be_trained_on(tmp_path: Path) -> None:
    with refused("'c'", "test"):
        open_files(tmp_path, *TRAIN, *TEST, "test/c/1.png").split(0.5, seed=0)


def test_a_split_below_one_folder_is_found(tmp_path: Path) -> None:
    dataset = open_files(tmp_path, *(f"animals/{name}" for name in (*TRAIN, *TEST)), "__MACOSX/animals/._x.png")
    assert dataset.subsets == {"train": 8, "test": 4}
    assert str(dataset.left_out) == "1 left out: 1 temporary or system name (__MACOSX/)"


def test_a_split_beside_classes_is_refused_with_the_words_to_type(tmp_path: Path) -> None:
    files = (*TRAIN, *TEST, "cat/1.png")
    with refused("test/, train/", "cat/", "--layout classes", "--layout split"):
        open_files(tmp_path, *files)
    assert open_files(tmp_path, *files, layout=Layout.CLASSES).classes == ("cat", "test", "train")
    split = open_files(tmp_path, *files, layout=Layout.SPLIT)
    assert split.classes == ("a", "b")
    assert "cat/" in str(split.left_out)


def test_folders_named_as_a_split_without_label_folders_are_refused_with_the_words_to_type(tmp_path: Path) -> None:
    with refused("test/, train/", "--layout classes", "table"):
        open_files(tmp_path, "train/1.png", "test/1.png")
    assert open_files(tmp_path, layout=Layout.CLASSES).classes == ("test", "train")


def test_one_class_may_be_called_train(tmp_path: Path) -> None:
    assert open_files(tmp_path, "train/1.png", "train/fast/2.png", "bus/1.png").classes == ("bus", "train")


def test_a_split_that_is_none_is_refused(tmp_path: Path) -> None:
    with refused("--layout split", "train"):
        open_files(tmp_path, "cat/1.png", layout=Layout.SPLIT)


# A table


ROWS = {"1.png": "cat", "2.png": "dog", "3.png": "dog"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "filename,label\n1.png,cat\n2.png,dog\n3.png,dog\n"),
        ("labels.csv", '\ufeffImage Path;Class;note\n"1.png";cat;x\n2.png;dog;\n3.png;dog\n'),
        ("data.tsv", "id\tdigit\n1\tcat\n2\tdog\n3\tdog\n"),
        ("LABELS.CSV", "label,file\r\ncat,1.PNG\r\ndog,./2.png\r\ndog,photos/3.png\r\n"),
        (
            "metadata.jsonl",
            '{"file_name": "1.png", "label": "cat"}\n\n{"label": "dog", "file_name": "2.png"}\n'
            '{"file_name": "3.png", "label": "dog", "size": [1, 2]}\n',
        ),
        (
            "a.ndjson",
            '{"image": "1", "target": "cat"}\n{"image": "2", "target": "dog"}\n{"image": "3", "target": "dog"}',
        ),
    ],
)
@pytest.mark.parametrize("folder", ["", "images/"])
def test_a_table_labels_the_images_beside_it_or_in_folders_below(
    tmp_path: Path, name: str, content: str, folder: str
) -> None:
    (tmp_path / name).write_text(content, newline="")
    if folder:
        (tmp_path / name).write_text(content.replace("photos/", folder), newline="")
    expected = {f"{folder}{file}": label for file, label in ROWS.items()}
    for address in ("", name):
        write_files(tmp_path, *expected)
        dataset = open_dataset(str(tmp_path / address))
        assert labelled(dataset) == expected
        assert (dataset.problems, dataset.left_out.total) == ((), 0)
        assert name in dataset.notes[0]


def test_numbers_are_labels(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"id": 1, "label": 7}\n{"id": 2, "label": 0}\n{"id": 3, "label": null}\n')
    dataset = open_files(tmp_path, "1.png", "2.png", "3.png")
    assert labelled(dataset) == {"1.png": "7", "2.png": "0"}
    assert "labels.jsonl: rows without a label: 1 (3)" in dataset.problems


def test_the_columns_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("who,what\n1.png,cat\n")
    assert labelled(open_files(tmp_path, "1.png", image_column="who", label_column="What")) == {"1.png": "cat"}


def test_unknown_columns_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text("who,label\n1.png,cat\n")
    with refused("answers.csv", "who, label", "--image-column"):
        open_files(tmp_path, "1.png")
    with refused("answers.csv", "'whom'", "who, label"):
        open_files(tmp_path, image_column="whom")
    (tmp_path / "answers.csv").write_text("file,what\n1.png,cat\n")
    with refused("answers.csv", "file, what", "--label-column"):
        open_files(tmp_path)


def test_several_columns_of_labels_are_refused_with_the_words_to_type(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label,class\n1.png,3,cat\n")
    with refused("--label-column label or --label-column class"):
        open_files(tmp_path, "1.png")
    assert labelled(open_files(tmp_path, label_column="class")) == {"1.png": "cat"}


def test_rows_and_images_without_each_other_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,label\n1.png,cat\n8.png,cat\n9.png,dog\n,dog\n2.png,\n4.png," + "x" * 300
    )
    dataset = open_files(tmp_path, "1.png", "2.png", "3.png", "4.png")
    assert labelled(dataset) == {"1.png": "cat"}
    assert dataset.problems == (
        "labels.csv: rows whose file is not there: 2 (8.png, 9.png)",
        "labels.csv: rows without a file name: 1 (line 5)",
        "labels.csv: rows without a label: 1 (2.png)",
        "labels.csv: rows whose label has more than 256 characters: 1 (4.png)",
        "labels.csv: images without a row: 3 (2.png, 3.png, 4.png)",
    )


def test_an_image_with_several_labels_is_not_used_and_one_that_is_listed_twice_is_used_once(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\n1.png,cat\n2.png,cat\n1.png,cat\n2.png,dog\n")
    dataset = open_files(tmp_path, "1.png", "2.png")
    assert labelled(dataset) == {"1.png": "cat"}
    assert dataset.problems == (
        "labels.csv: files that are listed more than once, used once: 1 (1.png)",
        "labels.csv: files that are listed with different labels, not used: 1 (2.png)",
    )


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("a/1.png", "a/1.png"),
        ("/data/set/a/1.png", "a/1.png"),
        ("C:\\set\\b\\1.png", "b/1.png"),
        ("1.png", None),  # two files
        ("c/1.png", None),  # neither
        ("2.png", "b/2.png"),
        ("2", "b/2.png"),
        ("2.jpg", None),
        ("../../b/2.png", "b/2.png"),
        ("/etc/passwd", None),
        ("../outside.png", None),
    ],
)
def test_a_row_means_the_one_file_that_fits(tmp_path: Path, called: str, expected: str | None) -> None:
    write_files(tmp_path, "outside.png")
    root = write_files(tmp_path / "set", "a/1.png", "b/1.png", "b/2.png", "b/3.png")
    (root / "labels.csv").write_text(f"file,label\nb/3.png,dog\n{called},cat\n")
    dataset = open_dataset(str(root / "labels.csv"))
    assert labelled(dataset) == {"b/3.png": "dog"} | ({expected: "cat"} if expected else {})
    assert bool(expected) != any("rows " in problem for problem in dataset.problems)


def test_a_column_of_subsets_is_the_split(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("id,label,split\n1,a,train\n2,b,Training\n3,a,test\n4,b,valid\n")
    dataset = open_files(tmp_path, *(f"{i}.png" for i in range(1, 5)))
    assert dataset.subsets == {"train": 2, "val": 1, "test": 1}
    (tmp_path / "labels.csv").write_text("id,label,split\n1,a,train\n2,b,unknown\n")
    with refused("'split'", "'unknown'"):
        open_dataset(str(tmp_path))
    (tmp_path / "labels.csv").write_text("id,label,split\n1,a,0\n2,b,1\n")
    assert open_dataset(str(tmp_path)).subsets == {}


def test_a_table_beside_label_folders_is_refused_with_the_words_to_type(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label\na/1.png,x\nb/1.png,y\n")
    with refused("labels.csv", "a/", "b/", "--layout table", "--layout classes"):
        open_files(tmp_path, "a/1.png", "b/1.png")
    assert open_files(tmp_path, layout=Layout.TABLE).classes == ("x", "y")
    assert open_files(tmp_path, layout=Layout.CLASSES).classes == ("a", "b")


@pytest.mark.parametrize("content", [b"file,label\nother.png,x\n", b"\xff\xfe\0nothing", b"", b"x,y\n1,2\n"])
def test_a_table_that_labels_nothing_does_not_disturb_label_folders(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "notes.csv").write_bytes(content)
    dataset = open_files(tmp_path, "a/1.png", "b/1.png")
    assert dataset.classes == ("a", "b")
    assert "notes.csv" in str(dataset.left_out)


def test_of_several_tables_one_must_be_named(tmp_path: Path) -> None:
    for name in ("a.csv", "b.tsv"):
        (tmp_path / name).write_text("file,label\n1.png,x\n".replace(",", "\t" if "tsv" in name else ","))
    with refused("2 tables", "a.csv or", "b.tsv"):
        open_files(tmp_path, "1.png")
    (tmp_path / "b.tsv").write_text("file\n1.png\n")
    assert labelled(open_dataset(str(tmp_path))) == {"1.png": "x"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b'file,label\n1.png,"x\n', "cannot be read to its end"),
        ("t.csv", b"file,label\n1.png,x,y,z\n", "line 2 has more fields"),
        ("t.csv", b"file,label\n1.png,\xff\n", "UTF-8"),
        ("t.csv", b"", "no columns"),
        ("t.csv", b"file,label,label\n1.png,x,y\n", "more than one column 'label'"),
        ("t.jsonl", b'{"file": "1.png", "label": "x"}\n[1]\n', "line 2 is not a JSON object"),
        ("t.jsonl", b"[" * 100_000, "t.jsonl"),
        ("t.jsonl", b'{"file": "1.png"', "line 1"),
    ],
)
def test_a_broken_table_is_refused_by_name(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with refused(name, words):
        open_files(tmp_path, "1.png")


def test_without_labels_all_images_of_a_table_are_read(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("file,author\n1.png,me\n")
    assert labelled(open_files(tmp_path, "1.png", "2.png", require_labels=False)) == {"1.png": "", "2.png": ""}


def test_a_layout_for_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    with refused("--layout", "samples:1"):
        open_dataset("samples:1", layout=Layout.SPLIT)
    with refused("--ignore", "samples:1"):
        open_dataset("samples:1", ignore=["*.bak"])
    with refused("--label-column", "samples:1"):
        open_dataset("samples:1", label_column="x")
    with refused("--label-column", "--layout classes"):
        open_files(tmp_path, "cat/1.png", layout=Layout.CLASSES, label_column="x")


# What cannot be read


def test_a_label_folder_that_may_not_be_read_is_said() -> None:
    need(os.geteuid() == 0, "only root can become another user")
    with shared_directory() as directory:
        write_files(directory, "cat/1.png", "dog/1.png")
        (directory / "dog").chmod(0o700)
        os.seteuid(UID)
        try:
            dataset = open_dataset(str(directory))
            (directory / "cat").stat()
        finally:
            os.seteuid(0)
        assert list(labelled(dataset)) == ["cat/1.png"]
        assert str(dataset.left_out) == "1 left out: 1 unreadable (dog/: Permission denied)"
        directory.chmod(0o700)
        os.seteuid(UID)
        try:
            with refused(str(directory), "Permission denied"):
                open_dataset(str(directory))
        finally:
            os.seteuid(0)


def test_an_image_of_a_split_is_equal_to_none_of_another_subset() -> None:
    assert LabelledImage("x", "a", subset="train") != LabelledImage("x", "a", subset="test")


@pytest.mark.parametrize("column", ["", "Unnamed: 0"])
def test_without_a_label_column_no_other_column_gives_labels(tmp_path: Path, column: str) -> None:
    (tmp_path / "table.csv").write_text(f"{column},filename\n0,1.png\n1,2.png\n")
    dataset = open_files(tmp_path, "1.png", "2.png", require_labels=False)
    assert [image.label for image in dataset] == ["", ""]
    assert dataset.subsets == {}


def test_a_link_to_itself_costs_no_other_folder(tmp_path: Path) -> None:
    write_files(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "loop").symlink_to("loop")
    assert open_dataset(str(tmp_path)).counts == {"a": 1, "b": 1}
