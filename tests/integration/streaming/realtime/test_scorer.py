"""Promises of `streaming.realtime.scorer`: real processes answer, are replaced, and take another model."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx
import psutil
import pytest
from foreign_networks import LABELS, classifier
from streams import wait_until

from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.inference.classifier import FusedClassifier
from sparkdl.inference.fusion import FusedModel, Imported
from sparkdl.models.importing import prepare_import
from sparkdl.models.registry import ModelVersion
from sparkdl.networks.framing import Framing
from sparkdl.networks.imported.description import NORMALIZATIONS, Described
from sparkdl.networks.imported.sources import read_source
from sparkdl.system.subprocesses import python_command, python_environment
from streaming.realtime.inference import Request, Scorer
from streaming.realtime.model_file import read_model, write_model
from streaming.realtime.scorer import state_of
from training.data.loading import Dataset

COUNT = 2


@pytest.fixture(scope="module")
def fused(model: ModelVersion) -> FusedModel:
    classifier = model.load()
    assert isinstance(classifier, FusedClassifier)
    return classifier.model


@pytest.fixture
def file(tmp_path: Path, fused: FusedModel) -> Path:
    path = tmp_path / "model.npz"
    write_model(path, fused, "first", 0.5, DEFAULT_LIMITS, None)
    return path


@contextmanager
def running(file: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process that starts scorers, and the path of their socket."""
    command = python_command("-m", "streaming.realtime.scorer", "--scorers", str(COUNT), *arguments, str(file))
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=python_environment(OMP_NUM_THREADS="1"),
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def ask(path: str, payload: bytes | None) -> tuple[str | None, str | None, str | None]:
    """The model, the reason and the prediction of an answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        length = struct.pack(">i", -1 if payload is None else len(payload))
        connection.sendall(length + (payload or b"") + struct.pack(">ii", -1, -1))
        content = b"".join(iter(lambda: connection.recv(65536), b""))
    if not content:
        raise ConnectionError("no answer")
    model, content = text_of(content)
    reason, content = text_of(content[16:])
    _, content = text_of(content)
    return model, reason, text_of(content)[0] if content else None


def text_of(content: bytes) -> tuple[str | None, bytes]:
    (length,) = struct.unpack_from(">i", content)
    return (None, content[4:]) if length < 0 else (content[4 : 4 + length].decode(), content[4 + length :])


def test_images_are_classified_and_what_is_none_gets_a_reason(file: Path, drawn: Dataset) -> None:
    with running(file) as (_, path):
        assert Path(path).parent.stat().st_mode & 0o077 == 0
        model, reason, prediction = ask(path, drawn.images[0].read())
        assert (model, reason) == ("first", None)
        assert prediction is not None
        assert ask(path, None) == ("first", "empty", None)
        assert ask(path, b"words") == ("first", "unsupported_format", None)


def test_a_scorer_that_is_killed_is_replaced_and_its_client_is_told(file: Path, drawn: Dataset) -> None:
    image = drawn.images[0].read()
    with running(file) as (process, path):
        scorers = psutil.Process(process.pid).children()
        assert len(scorers) == COUNT
        for scorer in scorers:
            scorer.send_signal(signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX) as connection:  # waits until one is there
            connection.connect(path)
            connection.sendall(struct.pack(">i", len(image)) + image + struct.pack(">ii", -1, -1))
            for scorer in scorers:
                scorer.kill()
            assert connection.recv(4)
        wait_until(lambda: len(psutil.Process(process.pid).children()) == COUNT)
        assert not set(scorers) & set(psutil.Process(process.pid).children())


def test_a_client_that_sends_half_a_request_does_not_keep_a_scorer(file: Path, drawn: Dataset) -> None:
    with running(file) as (_, path):
        for _ in range(COUNT):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
                connection.sendall(struct.pack(">i", 100) + b"half")
        assert ask(path, drawn.images[0].read())[1] is None


def test_a_file_that_is_replaced_is_taken_and_a_bad_one_is_not(file: Path, drawn: Dataset, fused: FusedModel) -> None:
    image = drawn.images[0].read()
    with running(file, "--follow") as (process, path):
        old = psutil.Process(process.pid).children()
        bad = replace(fused, head=replace(fused.head, coefficients=fused.head.coefficients * float("nan")))
        ticket = write_model(file, bad, "bad", 0.5, DEFAULT_LIMITS, None)
        wait_until(lambda: state_of(file).read_text().startswith(ticket))
        assert (
            state_of(file).read_text()
            == f"{ticket} it fails on an image: the model gave no probabilities for this image"
        )
        assert ask(path, image)[0] == "first"

        ticket = write_model(file, fused, "second", 0.5, DEFAULT_LIMITS, None)
        wait_until(lambda: ask(path, image)[0] == "second")
        wait_until(lambda: state_of(file).read_text() == ticket)
        wait_until(lambda: not any(scorer.is_running() for scorer in old))
        assert len(psutil.Process(process.pid).children()) == COUNT

        file.unlink()
        assert process.wait(30) == 0


def test_scorers_end_with_their_parent_however_it_ends(file: Path) -> None:
    with running(file) as (process, path):
        scorers = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not any(scorer.is_running() for scorer in scorers))
    with running(file) as (process, path):
        scorers = psutil.Process(process.pid).children()
        assert process.stdin
        process.stdin.close()
        assert process.wait(30) == 0
        wait_until(lambda: not any(scorer.is_running() for scorer in scorers))
        assert not Path(path).parent.exists()


def test_a_model_that_cannot_be_used_is_told_and_nothing_is_left(tmp_path: Path, fused: FusedModel) -> None:
    path = tmp_path / "bad.npz"
    bad = replace(fused, head=replace(fused.head, coefficients=fused.head.coefficients * float("nan")))
    write_model(path, bad, "bad", 0.5, DEFAULT_LIMITS, None)
    with running(path) as (process, said):
        assert said == "it fails on an image: the model gave no probabilities for this image"
        assert process.wait(30) == 0


def test_a_model_is_the_same_after_it_was_written_and_read(file: Path, fused: FusedModel) -> None:
    read = read_model(file)
    assert (read.name, read.review_below, read.limits, read.envelope) == ("first", 0.5, DEFAULT_LIMITS, None)
    assert read.network == fused.featurizer.network
    assert (read.head.coefficients == fused.head.coefficients).all()
    assert (read.head.intercepts == fused.head.intercepts).all()
    assert (read.head.classes, read.ink_margin) == (fused.head.classes, fused.ink_margin)


def test_an_imported_model_answers_with_its_labels_and_few_probabilities(tmp_path: Path, drawn: Dataset) -> None:
    stated = Described(labels=LABELS, normalization=NORMALIZATIONS["unit"][0], framing=Framing(40))
    onnx.save(classifier(last="Sigmoid"), tmp_path / "animals.onnx")
    prepared = prepare_import(read_source(str(tmp_path / "animals.onnx"), stated), threshold=0.4)
    chosen = prepared.settings
    stage = Imported(
        "image", "p", 5, chosen.input_shape, chosen.framing, chosen.resample, 4, "none", 0.4, lambda: prepared.network
    )
    path = tmp_path / "model.npz"
    write_model(path, FusedModel(None, stage, stage.head(LABELS), LABELS), "m", 0.5, DEFAULT_LIMITS, None, top_k=2)
    read = read_model(path)
    assert (read.head, read.framing, read.batch_size, read.top_k) == (stage.head(LABELS), Framing(40), 4, 2)
    (answer,) = Scorer(read).score([Request(drawn.images[0].read())])
    _, rest = text_of(answer)
    rest = rest[16:]
    for _ in range(2):
        _, rest = text_of(rest)
    prediction, rest = text_of(rest)
    (confidence, count), rest = struct.unpack(">di", rest[:12]), rest[12:]
    shares = {}
    for _ in range(count):
        label, rest = text_of(rest)
        (shares[label],), rest = struct.unpack(">d", rest[:8]), rest[8:]
    (chosen_count,), rest = struct.unpack(">i", rest[:4]), rest[4:]
    labels = []
    for _ in range(chosen_count):
        label, rest = text_of(rest)
        labels.append(label)
    assert rest == b""
    assert (count, next(iter(shares)), shares[prediction]) == (2, prediction, confidence)
    assert set(labels) >= {label for label, share in shares.items() if share >= 0.4}
    assert labels
