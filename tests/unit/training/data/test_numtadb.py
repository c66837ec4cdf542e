"""NumtaDB's official layout: every label in it is found, and what cannot be used is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from folders import labelled, write_files
from refusals import refused

from training.data.loading import open_dataset

TABLE = "filename,digit\n1.png,0\n"


def test_the_columns_of_a_table_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png", "training-d/1.png", "training-d/2.png")
    (root / "training-a.csv").write_text("filename,scanid,digit\n1.png,252,7\n")
    (root / "training-d.csv").write_text("\ufeffdigit,num,filename\n3,,1.png\n 4 ,,2.png\n", encoding="utf-8")
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/1.png": "7", "training-d/1.png": "3", "training-d/2.png": "4"}
    assert dataset.problems == ()


def test_a_file_missing_beside_its_table_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png")
    (root / "training-a.csv").write_text("filename,digit\n1.png,0\n2.png,1\n")
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/1.png": "0"}
    assert dataset.problems == ("training-a/2.png: listed in training-a.csv, but there is no such file",)


def test_a_table_without_the_columns_is_named_and_left_out(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png", "testing-b/1.png")
    (root / "training-a.csv").write_text("filename,digit\n1.png,0\n")
    (root / "testing-b.csv").write_text("file,label\n1.png,0\n")
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/1.png": "0"}
    assert dataset.problems == ("testing-b.csv: no column digit or filename, the set is skipped",)


def test_a_line_without_a_digit_or_a_file_is_named_by_its_number(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png", "training-a/2.png")
    (root / "training-a.csv").write_text("filename,digit\n1.png,0\n2.png\n,5\n1.png,\n")
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/1.png": "0"}
    assert dataset.problems == tuple(f"training-a.csv, line {n}: no filename or no digit" for n in (3, 4, 5))


def test_a_table_cannot_name_a_file_outside_its_set(tmp_path: Path) -> None:
    root = write_files(tmp_path, "secret.png", "training-a/1.png")
    (root / "training-a.csv").write_text("filename,digit\n../secret.png,0\n1.png,1\n")
    dataset = open_dataset(str(root))
    assert [image.label for image in dataset] == ["1"]
    assert len(dataset.problems) == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"1.png,{'7' * 300}", "line 2: its label is not text of at most 256 characters"),
        (f"1.png,{'7' * 200_000}", "cannot be read to its end: field larger"),
        ("1.png,\udcff", "cannot be read to its end: 'utf-8' codec"),
    ],
)
def test_a_table_of_nonsense_is_a_problem_and_the_other_sets_are_read(tmp_path: Path, line: str, problem: str) -> None:
    root = write_files(tmp_path, "training-a/1.png", "training-b/1.png")
    (root / "training-a.csv").write_bytes(f"filename,digit\n{line}\n".encode(errors="surrogateescape"))
    (root / "training-b.csv").write_text("filename,digit\n1.png,1\n")
    dataset = open_dataset(str(root))
    assert [image.name for image in dataset] == ["training-b/1.png"]
    assert [problem in said for said in dataset.problems] == [True]


def test_tables_that_lead_to_no_image_are_refused_with_the_first_problem(tmp_path: Path) -> None:
    (tmp_path / "training-a.csv").write_text("filename,digit\n1.png,0\n2.png,1\n")
    with refused(
        "no labelled image", "1 problem,", "training-a.csv: no images in training-a next to it, 2 images missing"
    ):
        open_dataset(str(tmp_path))


def test_the_official_numtadb_is_read_in_full(numtadb_home: Path) -> None:
    root = numtadb_home / "numtadb"
    tables = pd.concat(pd.read_csv(path, dtype=str) for path in root.glob("training-?.csv"))
    dataset = open_dataset(str(root))
    assert len(dataset) == len(tables) == 41
    assert dataset.counts == Counter(tables["digit"])
    assert dataset.problems == ()
    assert {Path(image.name).name: image.label for image in dataset} == dict(
        zip(tables["filename"], tables["digit"], strict=True)
    )
    assert all(image.read() for image in dataset)


# All of its sets, or some


def test_every_set_of_the_official_layout_is_found(tmp_path: Path) -> None:
    sets = [f"training-{letter}" for letter in "abcde"] + [f"testing-{letter}" for letter in "abcdef"]
    sets += ["testing-auga", "testing-augc", "testing-f2"]
    root = write_files(tmp_path, *(f"{name}/1.png" for name in sets))
    for name in sets:
        (root / f"{name}.csv").write_text(TABLE)
    dataset = open_dataset(str(root))
    assert sorted(labelled(dataset)) == sorted(f"{name}/1.png" for name in sets)
    assert dataset.problems == ()


def test_testing_sets_without_labels_are_one_problem(tmp_path: Path) -> None:
    root = write_files(
        tmp_path, "training-a/1.png", "testing-a/1.png", "testing-a/2.png", "testing-f/1.JPG", "testing-auga/1.png"
    )
    (root / "training-a.csv").write_text(TABLE)
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/1.png": "0"}
    assert dataset.problems == ("testing-a, testing-auga, testing-f: 4 images without labels",)


def test_where_no_label_is_needed_all_images_are_used(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png", "training-a/2.png", "testing-a/1.png", "testing-b/1.png")
    (root / "training-a.csv").write_text(TABLE)
    (root / "testing-b.csv").write_text("filename,writer\n1.png,7\n")
    dataset = open_dataset(str(root), require_labels=False)
    names = ("training-a/1.png", "training-a/2.png", "testing-a/1.png", "testing-b/1.png")
    assert labelled(dataset) == dict(zip(names, ("0", "", "", ""), strict=True))


def test_a_training_set_without_its_table_is_named_with_its_count(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png", "training-c/1.png", "training-c/2.png")
    (root / "training-a.csv").write_text(TABLE)
    assert open_dataset(str(root)).problems == (
        "training-c: 2 images without labels, because training-c.csv is missing",
    )


def test_folders_of_numtadb_alone_are_no_label_folders(tmp_path: Path) -> None:
    with refused("no labelled image", "testing-a, testing-b: 2 images without labels"):
        open_dataset(str(write_files(tmp_path, "testing-a/1.png", "testing-b/1.png")))


def test_a_missing_folder_is_one_problem_with_the_count_of_its_images(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png")
    (root / "training-a.csv").write_text(TABLE)
    (root / "training-b.csv").write_text("filename,digit\n" + "".join(f"{i}.png,1\n" for i in range(359)))
    assert open_dataset(str(root)).problems == (
        "training-b.csv: no images in training-b next to it, 359 images missing",
    )


def test_images_that_no_table_names_are_counted(tmp_path: Path) -> None:
    root = write_files(tmp_path, *(f"training-a/{i}.png" for i in range(1, 6)), "training-a/notes.txt")
    (root / "training-a.csv").write_text(TABLE)
    assert open_dataset(str(root)).problems == ("training-a: 4 images not listed in training-a.csv, such as 2.png",)


def test_an_image_that_is_named_twice_is_used_once(tmp_path: Path) -> None:
    root = write_files(tmp_path, "training-a/1.png")
    (root / "training-a.csv").write_text("filename,digit\n1.png,0\n./1.png,3\n")
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/1.png": "0"}
    assert dataset.problems == ("training-a/1.png: listed more than once in training-a.csv, the first row is used",)


@pytest.mark.parametrize("table", ["Training-A.CSV", "TRAINING-a.csv"])
@pytest.mark.parametrize("folder", ["training-a", "Training-A"])
def test_case_and_byte_order_marks_make_no_difference(tmp_path: Path, table: str, folder: str) -> None:
    root = write_files(tmp_path, f"{folder}/a1.png", f"{folder}/a2.PNG")
    (root / table).write_text("\ufeffDigit, FileName \n7,A1.PNG\n8,a2.PNG\n", encoding="utf-8")
    dataset = open_dataset(str(root))
    assert labelled(dataset) == {"training-a/a1.png": "7", "training-a/a2.PNG": "8"}
    assert dataset.problems == ()


def test_a_data_set_one_folder_further_down_is_found(tmp_path: Path) -> None:
    write_files(tmp_path, "Final_DB/training-a/1.png")
    (tmp_path / "Final_DB" / "training-a.csv").write_text(TABLE)
    assert labelled(open_dataset(str(tmp_path))) == {"training-a/1.png": "0"}
