"""The registry: what is saved is what is loaded, what was changed is refused by name, and nothing is half-written."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.feature import IndexToString
from pyspark.sql import SparkSession
from refusals import refused

from sparkdl.errors import SparkdlError
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import CURRENT, ModelVersion, Registry, resolve_model
from training.data.dataframes import encoded_rows
from training.data.loading import Dataset, LabelledImage, open_dataset
from training.fitting.fit import fit_recipe
from training.fitting.recipes import recipe


def no_report(directory: Path) -> None:
    (directory / "report.md").write_text("# Nothing was measured\n")


def names_only(*labels: str) -> Classifier:
    """A pipeline that is saved in no time."""
    return Classifier.of(PipelineModel([IndexToString(inputCol="prediction", outputCol="name", labels=list(labels))]))


def entries(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture(scope="module")
def saved(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Two small versions, neither promoted."""
    made = Registry(tmp_path_factory.mktemp("saved"))
    for recipe_name in ("cats", "dogs"):
        made.save(names_only("cat", "dog"), recipe_name, {"recipe": {"name": recipe_name}}, no_report)
    return made


@pytest.fixture
def small(saved: Registry, tmp_path: Path) -> Registry:
    """A copy of `saved` to do harm to."""
    return Registry(Path(shutil.copytree(saved.path, tmp_path / "models")))


@pytest.fixture
def version(small: Registry) -> ModelVersion:
    return small.versions()[0]


# What is saved


def test_a_model_predicts_bit_by_bit_the_same_after_save_and_load(spark: SparkSession, tmp_path: Path) -> None:
    quick = recipe("digits", ["input_size=48", "tap_layers=block5", "pooling=average", "max_iter=3", "augmentations=0"])
    some = tuple(image for image in open_dataset("samples:4") if image.label in "147")
    classifier = fit_recipe(spark, Dataset("some", some), quick).classifier
    loaded = Registry(tmp_path).save(classifier, "quick", {"recipe": {}}, no_report).load()

    others = encoded_rows(spark, Dataset("others", (*open_dataset("samples:2", seed=8), broken()))).cache()
    before, after = (
        sorted(it.classify(others).select("id", "prediction", "confidence", "probabilities", "reason").collect())
        for it in (classifier, loaded)
    )
    others.unpersist()
    assert loaded.classes == classifier.classes == ("1", "4", "7")
    assert len(before) == 21
    assert before == after


def broken() -> LabelledImage:
    return LabelledImage("broken", "1", payload=b"no image")


def test_a_version_has_the_promised_layout(registry: Registry, model: ModelVersion) -> None:
    assert entries(registry.path) == [model.name, CURRENT]
    assert entries(model.path) == ["model.json", "pipeline", "report"]
    assert [path.name for path in model.pipeline.glob("stages/*/network.onnx")] == ["network.onnx"]
    contract = (
        "metrics.json",
        "report.md",
        "confusion_matrix.png",
        "roc.png",
        "reliability.png",
        "per_class.csv",
        "samples.png",
    )
    assert {*contract, "misclassified.png"} <= set(entries(model.path / "report"))


def test_the_description_states_the_digest_of_every_file(model: ModelVersion) -> None:
    stated = model.description["files"]
    present = {path.relative_to(model.path).as_posix() for path in model.path.rglob("*") if path.is_file()}
    assert set(stated) == {name for name in present if name != "model.json" and not name.endswith(".crc")}
    for name, digest in stated.items():
        assert hashlib.sha256((model.path / name).read_bytes()).hexdigest() == digest
    model.verify()


def test_classes_of_any_script_are_described_in_utf_8(spark: SparkSession, tmp_path: Path) -> None:
    version = Registry(tmp_path).save(names_only("০", "১"), "x", {"recipe": {}}, no_report)
    assert '"০"' in (version.path / "model.json").read_bytes().decode("utf-8")
    assert Registry(tmp_path).versions()[0].load().classes == ("০", "১")


def test_saves_within_one_second_get_names_of_their_own(spark: SparkSession, tmp_path: Path) -> None:
    made = Registry(tmp_path)
    names: list[str] = []
    while len({name.partition(".")[0] for name in names}) == len(names):  # until two share their second
        names.append(made.save(names_only("a", "b"), "x", {"recipe": {}}, no_report).name)
        assert len(names) < 50
    assert len(set(names)) == len(names)
    assert names[-1] == f"{names[-2]}.2"
    assert [version.name for version in made.versions()] == names


def test_a_report_that_fails_leaves_nothing_behind(spark: SparkSession, tmp_path: Path) -> None:
    def fails(directory: Path) -> None:
        no_report(directory)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        Registry(tmp_path / "models").save(names_only("a", "b"), "x", {"recipe": {}}, fails)
    assert entries(tmp_path / "models") == []
    assert Registry(tmp_path / "models").versions() == []


def test_a_description_that_is_no_json_leaves_nothing_behind(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Registry(tmp_path).save(names_only("a", "b"), "x", {"recipe": {1, 2}}, no_report)
    assert entries(tmp_path) == []


# What was changed


def change(path: Path) -> str:
    (path / "report" / "report.md").write_text("# Far better\n")
    return "report/report.md differs"


def remove(path: Path) -> str:
    (path / "report" / "report.md").unlink()
    return "report/report.md is missing"


def add(path: Path) -> str:
    (path / "pipeline" / "extra.py").write_text("")
    return "pipeline/extra.py is not part of the model"


def add_and_state(path: Path) -> str:
    """A module beside the pipeline, with its digest where the others are."""
    (path / "traceback.py").write_text("")
    stated = json.loads((path / "model.json").read_text())
    stated["files"]["traceback.py"] = hashlib.sha256(b"").hexdigest()
    (path / "model.json").write_text(json.dumps(stated))
    return "traceback.py is not part of the model"


@pytest.mark.parametrize("harm", [change, remove, add, add_and_state])
def test_a_file_changed_removed_or_added_is_refused_by_name(
    small: Registry, version: ModelVersion, harm: Callable[[Path], str]
) -> None:
    words = harm(version.path)
    for use in (version.verify, version.load, lambda: small.promote(version.name)):
        with pytest.raises(SparkdlError, match=f"{version.name}: {words}"):
            use()
    assert small.current() is None


def test_a_description_without_digests_is_refused(version: ModelVersion) -> None:
    (version.path / "model.json").write_text('{"recipe": {"name": "cats"}}')
    with pytest.raises(SparkdlError, match="does not state the digests"):
        resolve_model(str(version.path)).verify()


@pytest.mark.parametrize("content", ["", "{", "[1, 2]"])
def test_a_broken_description_is_refused_by_name(version: ModelVersion, content: str) -> None:
    (version.path / "model.json").write_text(content)
    with pytest.raises(SparkdlError, match=r"model\.json"):
        resolve_model(str(version.path))


def test_a_broken_version_does_not_keep_another_from_being_used(small: Registry) -> None:
    bad, good = small.versions()
    (bad.path / "model.json").write_text("{")
    small.promote(good.name)
    assert resolve_model(str(small.path)).name == good.name


def test_a_pipeline_that_spark_cannot_load_is_said_in_one_line(version: ModelVersion) -> None:
    (stage,) = version.pipeline.glob("stages/*")
    shutil.rmtree(stage)
    with pytest.raises(SparkdlError, match=r"\Amodel pipeline cannot be loaded: [^\n]+\Z"):
        resolve_model(str(version.pipeline)).load()


# What is promoted


def test_the_promoted_version_is_the_one_that_the_registry_stands_for(small: Registry) -> None:
    first, second = small.versions()
    assert small.current() is None
    for version in (second, first):
        assert small.promote(version.name) == version
        assert small.current() == version
        assert resolve_model(str(small.path)) == version


def test_a_reader_sees_one_version_or_the_other_and_never_less(small: Registry) -> None:
    names = [version.name for version in small.versions()]
    small.promote(names[0])
    done = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not done.is_set():
            seen.add((small.path / CURRENT).read_text())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        turns = 0
        while turns < 100 or (len(seen) < 2 and turns < 10_000):
            turns += 1
            small.promote(names[turns % 2])
    finally:
        done.set()
        reader.join()
    assert seen == {f"{name}\n" for name in names}
    assert entries(small.path) == sorted([CURRENT, *names])


def test_an_unknown_version_offers_the_nearest(small: Registry) -> None:
    name = small.versions()[1].name
    for use in (small.version, small.promote):
        with refused(f"unknown version '{name[:-1]}'", f"did you mean {name}"):
            use(name[:-1])


@pytest.mark.parametrize("name", ["..", "", ".", CURRENT])
def test_only_a_version_s_own_name_is_one(small: Registry, name: str) -> None:
    (small.path.parent / "model.json").write_text("{}")
    (small.path / "model.json").write_text("{}")
    with refused(f"unknown version {name!r}"):
        small.version(name)


def test_an_empty_registry_says_so(tmp_path: Path) -> None:
    assert Registry(tmp_path / "none").versions() == []
    assert Registry(tmp_path / "none").current() is None
    for path in (tmp_path, tmp_path / "none"):
        with refused(str(path), "no models in it"):
            Registry(path).version("20260101T000000-x")


def test_a_pointer_to_a_missing_version_is_named(small: Registry) -> None:
    (small.path / CURRENT).write_text("20260101T000000-gone\n")
    for use in (small.current, lambda: resolve_model(str(small.path))):
        with refused(CURRENT, "unknown version '20260101T000000-gone'"):
            use()


# What --model names


def test_a_model_is_a_version(version: ModelVersion) -> None:
    assert resolve_model(str(version.path)) == version


def test_a_model_is_a_saved_pipeline(spark: SparkSession, version: ModelVersion) -> None:
    bare = resolve_model(str(version.pipeline))
    assert (bare.name, bare.description, bare.pipeline) == ("pipeline", {}, version.pipeline)
    assert bare.load().classes == ("cat", "dog")


def test_a_model_has_a_name_from_wherever_it_is_looked_at(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(version.path)
    assert resolve_model(".").name == version.name


def test_a_missing_directory_is_no_model(tmp_path: Path) -> None:
    with refused("no such model", "nowhere", "sparkdl train"):
        resolve_model(str(tmp_path / "nowhere"))


def test_an_empty_directory_and_a_registry_without_a_promoted_version_are_no_models(
    small: Registry, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", small.path):
        with refused(f"{path} is not a model", "expected a registry", "a version", "PipelineModel"):
            resolve_model(str(path))


# The confidence below which a prediction needs review


def test_a_version_has_the_threshold_that_it_states_or_none(version: ModelVersion) -> None:
    assert version.review_below is None
    assert ModelVersion(version.path, {"review": {"confidence": 0.75, "coverage": 0.9}}).review_below == 0.75
    assert ModelVersion(version.path, {"review": {"confidence": 1}}).review_below == 1


@pytest.mark.parametrize("review", [{}, 0.5, [0.5], {"confidence": "0.5"}, {"confidence": True}, {"confidence": 1.5}])
def test_a_threshold_that_is_none_is_refused_before_the_model_is_used(version: ModelVersion, review: object) -> None:
    strange = ModelVersion(version.path, {**version.description, "review": review})
    with pytest.raises(SparkdlError, match=r"model\.json does not state its review threshold as 0 to 1"):
        strange.verify()
