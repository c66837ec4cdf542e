"""Images per second of an imported classifier, compared with a loop on the same ONNX file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench import WORK, Bench, interleaved, run, sparkdl, stream, timed
from process_usage import Measured
from throughput import BROKER, agreement_of, answers_of, fill, leaving_out, rates, telling, to_stream

CLASSES = 1000
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PHOTOS = 64  # different ones


def imported(bench: Bench, rounds: int, images: int, warm_up: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure an imported classifier of MobileNet's size: a directory and a topic of photos to Parquet.

    The network takes some ten times as long as that of the other measurements, so it gets an eighth of the images.
    """
    from streaming.kafka.local.broker import Broker

    images, warm_up = max(images // 8, 256), max(warm_up // 8, 64)
    exported = network()
    registry = registered(exported)
    watched = bench.images(images, "photos", photos())
    loop, twin = bench.contender("hand_written.py"), bench.contender("hand_written_kafka.py")
    shape = ["--processes", "2", "--threads", "1", "--warm-up", str(warm_up)]
    answers: dict[str, Path] = {}
    with Broker(BROKER).running(port=0) as broker:
        topic = fill(broker, watched)

        def streamed(name: str, source: str) -> Measured:
            place = bench.place()
            answers[name] = place / "sink" / "predictions"
            return stream(to_stream(registry, source, f"parquet:{place / 'sink'}", place), place, warm_up)

        def looped(name: str, command: list[str], source: str) -> Measured:
            place = bench.place()
            answers[name] = place / "out"
            return timed([*command, str(exported), source, str(place / "out"), *shape], place, warm_up)

        of_topic = f"{broker}/{topic}"
        names = ("stream", "loop, 2 processes", "stream from Kafka", "kafka-python loop")
        contenders: dict[str, Callable[[], Measured]] = {
            names[0]: lambda: streamed(names[0], str(watched)),
            names[1]: lambda: looped(names[1], loop, str(watched)),
            names[2]: lambda: streamed(names[2], f"kafka://{of_topic}"),
            names[3]: lambda: looped(names[3], twin, of_topic),
        }
        left_out: dict[str, str] = {}
        found = interleaved(contenders, rounds, telling(say), leaving_out(say, left_out))
    agreement = {
        theirs: agreement_of(answers_of(answers[ours]), answers_of(answers[theirs]))
        for ours, theirs in (names[:2], names[2:])
        if ours in found and theirs in found
    }
    return {"images": images, "agreement": agreement, "left_out": left_out, **rates(found)}


def network() -> Path:
    """Return a directory with EfficientNet-Lite0 as PyTorch exports a classifier, of ImageNet's size, and its labels.

    The convolutions are the published ones; the last layer is random.
    """
    from onnx import save

    from sparkdl.networks import efficientnet
    from sparkdl.networks.backbones import backbone
    from sparkdl.networks.graph_builder import GraphBuilder, float_tensor
    from sparkdl.networks.weights import find_weights

    directory = WORK / "imported"
    if (directory / "about.json").is_file():
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    weights = find_weights(backbone("EfficientNetLite0"), None)
    assert weights is not None
    body = efficientnet.build(weights, ["head"])
    graph = GraphBuilder(prefix="classifier.")
    graph.node("Transpose", ["pixel_values"], "pixels", perm=[0, 2, 3, 1])
    graph.nodes.extend(body.graph.node)
    graph.constants.extend(body.graph.initializer)
    graph.node("ReduceMean", ["head", graph.constant("axes", np.array([1, 2]))], "vector", keepdims=0)
    matrix = np.random.default_rng(0).normal(0, 0.2, (1280, CLASSES)).astype(np.float32)
    graph.node("MatMul", ["vector", graph.constant("matrix", matrix)], "logits")
    taken = float_tensor("pixel_values", ["N", 3, SIDE, SIDE])
    save(
        graph.model("classifier", [taken], [float_tensor("logits", ["N", CLASSES])], base=body),
        directory / "network.onnx",
    )
    classes = [f"class {number}" for number in range(CLASSES)]
    (directory / "labels.txt").write_text("\n".join(classes))
    about = {"classes": classes, "side": SIDE, "mean": MEAN, "std": STD}
    (directory / "about.json").write_text(json.dumps(about))
    return directory


def registered(exported: Path) -> Path:
    """Return a registry with the classifier as its promoted version."""
    registry = exported / "models"
    if not (registry / "CURRENT").is_file():
        run([*sparkdl("models", "import", str(exported / "network.onnx"), "--labels", str(exported / "labels.txt"),
             "--normalize", "imagenet", "--models", str(registry))])  # fmt: skip
    return registry


def photos() -> list[bytes]:
    """Return JPEG files of 320 x 240 pixels, with shapes of all sizes."""
    from PIL import Image

    random = np.random.default_rng(1)
    made = []
    for _ in range(_PHOTOS):
        picture = np.zeros((240, 320, 3))
        for cells in (3, 8, 20, 60):
            coarse = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
            picture += np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC)) / 4
        target = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(target, "JPEG", quality=85)
        made.append(target.getvalue())
    return made
