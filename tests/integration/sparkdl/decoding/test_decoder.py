"""Promises of the decoder client: whatever an image does to its decoder, it costs that image and no other."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from bmp_files import packed, write_bmp
from gif_files import write_gif
from isolated import DIGITS, SLOW, assert_digits, encode, results_of, views, white
from pictures import chunk
from PIL import Image
from png_files import write_png
from pyspark.sql import SparkSession
from streams import encoded_rows, wait_until
from tiff_files import LOSSLESS, Page, write
from webp_files import animation, frame

from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.client import Decoded, DecoderClient
from sparkdl.decoding.isolation.client import decoder_client as client_of_this_process
from sparkdl.decoding.udf import decode_images
from sparkdl.images.rejection import Limits, Reason, Rejected
from sparkdl.models.registry import ModelVersion
from streaming.results import results
from training.data.synthetic.digits import draw_png


@pytest.fixture
def decoder() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits())
    yield made
    made.close()


def in_background(decoder: DecoderClient, payloads: Sequence[bytes | None]) -> Future[Decoded]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(decoder.decode, views(payloads))
    pool.shutdown(wait=False)
    return future


def send_when(decoder: DecoderClient, number: signal.Signals, *, begun: int, starts: int) -> None:
    """Signals the decoder's `starts`-th process once it has begun `begun` images."""
    wait_until(lambda: decoder.starts == starts and decoder.begun == begun)
    assert decoder.pid is not None
    os.kill(decoder.pid, number)


# --- the same pixels ---------------------------------------------------------------------------------------------


def test_each_payload_has_the_outcome_that_decoding_it_here_has(decoder: DecoderClient) -> None:
    payloads = [DIGITS[0], None, b"", b"words", DIGITS[1][:-9], encode(Image.new("L", (3, 5), 9), "PNG"), DIGITS[2]]
    for _ in range(2):
        results = results_of(decoder.decode(views(payloads)))
        for result, payload in zip(results, payloads, strict=True):
            expected = decode(payload)
            assert result == expected if isinstance(expected, Rejected) else np.array_equal(result, expected)
    assert decoder.starts == 1


@pytest.mark.parametrize("compression", [*LOSSLESS.values()], ids=[*LOSSLESS])
def test_a_confined_decoder_has_every_codec_of_tiff(decoder: DecoderClient, compression: int) -> None:
    picture = np.arange(32 * 48 * 3, dtype=np.uint8).reshape(32, 48, 3)
    (result,) = results_of(decoder.decode(views([write(Page(picture, 2, compression))])))
    assert isinstance(result, np.ndarray), result
    assert np.array_equal(result, picture[..., ::-1])
    assert decoder.starts == 1


def test_what_is_no_image_is_named_as_it_is_here(decoder: DecoderClient) -> None:
    image = encode(Image.linear_gradient("L"), "PNG")
    text = base64.b64encode(image).decode()
    payloads = [
        *(f"words {letter}".encode(charset) for letter in "éশ" for charset in ("utf-8", "utf-16", "utf-16-be")),
        *(text.encode(), f"data:image/png;base64,{text}".encode(), json.dumps({"image": text}).encode()),
        *(image.hex().encode(), gzip.compress(image), zlib.compress(image), b"<html>", b"http://host/a.png"),
        *(image.decode("latin-1").encode(), image.decode("utf-8", "replace").encode(), image[1:], image[::-1]),
        *(b"\0\0\0\0\1" + image, image.replace(b"\r\n", b"\n"), bytes(range(256))),
    ]
    results = results_of(decoder.decode(views(payloads)))
    assert results == [decode(payload) for payload in payloads]
    assert {result.reason for result in results if isinstance(result, Rejected)} == {Reason.UNSUPPORTED_FORMAT}
    assert decoder.starts == 1


def test_pictures_that_need_more_than_their_codec_are_read_as_they_are_here(decoder: DecoderClient) -> None:
    colours = np.random.default_rng(2).integers(0, 256, (16, 3), np.uint8)
    index = np.arange(12, dtype=np.uint8).reshape(3, 4)
    deep = np.arange(36).reshape(3, 4, 3) * 1000
    jpeg = encode(Image.linear_gradient("L"), "JPEG")
    still = encode(Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "WEBP", quality=80)
    payloads = [
        jpeg[:-2],
        jpeg[:-9],
        write_gif(index, colours, canvas=(9, 9), at=(2, 3)),
        write_gif(index, colours, trailer=b""),
        animation(frame(still, 2, 2, 4, 4), width=9, height=9),
        write_bmp(b"\4\1\0\0\4\2\0\1", 4, 3, 8, palette=colours, compression=1),
        write_bmp([packed(row, 4) for row in index], 4, 3, 4, palette=colours),
        write_png(deep, 16, 2, chunk(b"tRNS", bytes(6)), chunk(b"tEXt", b"a\0b"))[:-12],
    ]
    results = results_of(decoder.decode(views(payloads)))
    for result, payload in zip(results, payloads, strict=True):
        expected = decode(payload)
        assert result == expected if isinstance(expected, Rejected) else np.array_equal(result, expected)
    assert [isinstance(result, Rejected) for result in results] == [False, True, *[False] * 6]
    assert decoder.starts == 1


def test_a_payload_above_the_limit_of_bytes_is_refused_as_it_is_here() -> None:
    limits = Limits(max_bytes=len(DIGITS[0]))
    longer = DIGITS[0] + b"\0" * 20_000_000
    small = DecoderClient(limits)
    try:
        results = results_of(small.decode(views([DIGITS[0], longer, DIGITS[0]])))
    finally:
        small.close()
    assert isinstance(results[0], np.ndarray)
    assert results[1] == decode(longer, limits)
    assert isinstance(results[2], np.ndarray)


def test_more_images_than_one_request_holds_come_back_in_order(decoder: DecoderClient) -> None:
    assert_digits(results_of(decoder.decode(views(DIGITS * 250))), DIGITS * 250)


def test_more_bytes_than_one_request_holds_come_back_in_order(decoder: DecoderClient) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    payload = encode(Image.fromarray(noise), "BMP")
    results = results_of(decoder.decode(views([payload, DIGITS[0]] * 30)))
    assert_digits(results[1::2], [DIGITS[0]] * 30)
    assert all(np.array_equal(result, noise[..., ::-1]) for result in results[::2])
    assert decoder.starts == 1


def test_no_payloads_are_no_work(decoder: DecoderClient) -> None:
    assert results_of(decoder.decode([])) == []
    assert decoder.starts == 0


# --- a decoder that dies -----------------------------------------------------------------------------------------


def test_an_image_whose_decoder_was_killed_once_is_decoded_after_all(decoder: DecoderClient) -> None:
    future = in_background(decoder, [*DIGITS[:5], SLOW, *DIGITS[5:]])
    send_when(decoder, signal.SIGKILL, begun=6, starts=1)
    results = results_of(future.result(60))
    slow = results.pop(5)
    assert isinstance(slow, np.ndarray)
    assert (slow == 255).all()
    assert_digits(results)
    assert decoder.starts == 2


def test_an_image_that_kills_its_decoder_twice_is_told_from_its_neighbours(decoder: DecoderClient) -> None:
    future = in_background(decoder, [*DIGITS[:5], SLOW, *DIGITS[5:]])
    send_when(decoder, signal.SIGSEGV, begun=6, starts=1)
    send_when(decoder, signal.SIGBUS, begun=1, starts=2)
    results = results_of(future.result(60))
    crashed = results.pop(5)
    assert isinstance(crashed, Rejected)
    assert crashed.reason is Reason.DECODER_CRASHED
    assert crashed.detail == "the decoder ended by SIGSEGV, alone again: the decoder ended by SIGBUS"
    assert_digits(results)
    assert decoder.starts == 3


def test_a_decoder_that_was_killed_when_idle_is_replaced_and_no_image_blamed(decoder: DecoderClient) -> None:
    for starts in (1, 2):
        assert_digits(results_of(decoder.decode(views(DIGITS))))
        assert decoder.starts == starts
        assert decoder.pid is not None
        os.kill(decoder.pid, signal.SIGKILL)
    assert_digits(results_of(decoder.decode(views(DIGITS))))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_it_leaves_no_core_file_and_is_the_first_to_go_where_memory_runs_out(decoder: DecoderClient) -> None:
    decoder.decode(views(DIGITS))
    process = psutil.Process(decoder.pid)
    assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_AS)[0] < 2 * 2**30
    assert Path(f"/proc/{decoder.pid}/oom_score_adj").read_text() == "500\n"


# --- a decoder that does not end ---------------------------------------------------------------------------------


@pytest.fixture
def impatient() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits(timeout=0.3))
    yield made
    made.close()


def test_an_image_that_takes_too_long_costs_that_image(impatient: DecoderClient) -> None:
    results = results_of(impatient.decode(views([*DIGITS[:5], SLOW, *DIGITS[5:]])))
    late = results.pop(5)
    assert late == Rejected(Reason.DECODER_TIMEOUT, "not decoded within 0.3 s")
    assert_digits(results)


def test_a_decoder_that_hangs_costs_the_image_it_is_in() -> None:
    decoder = DecoderClient(Limits(timeout=2))
    try:
        future = in_background(decoder, [*DIGITS[:5], SLOW, *DIGITS[5:]])
        send_when(decoder, signal.SIGSTOP, begun=6, starts=1)
        results = results_of(future.result(60))
    finally:
        decoder.close()
    late = results.pop(5)
    assert late == Rejected(Reason.DECODER_TIMEOUT, "not decoded within 2 s")
    assert_digits(results)


def test_a_batch_may_take_longer_than_an_image(impatient: DecoderClient) -> None:
    one = white(2000)
    assert all(isinstance(result, np.ndarray) for result in results_of(impatient.decode(views([one] * 16))))
    assert impatient.starts == 1


# --- its life ----------------------------------------------------------------------------------------------------

OWNER = """
import sys
from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.images.rejection import Limits
decoder = DecoderClient(Limits())
decoder.decode([memoryview(b"x")])
print(decoder.pid, flush=True)
sys.stdin.read()
"""


def has_ended(pid: int) -> bool:
    # What nobody waits for stays as a zombie.
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    "hangs",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends it with its worker")
        ),
    ],
)
def test_a_decoder_ends_when_its_worker_is_killed(hangs: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        assert not has_ended(pid)
        if hangs:
            os.kill(pid, signal.SIGSTOP)
        owner.kill()
    wait_until(lambda: has_ended(pid), 20)


def test_a_decoder_ends_when_its_worker_does() -> None:
    done = subprocess.run([sys.executable, "-c", OWNER], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    wait_until(lambda: has_ended(int(done.stdout)), 20)
    assert done.stderr == b""


def test_a_decoder_loads_neither_spark_nor_arrow() -> None:
    program = (
        "import sys, sparkdl.decoding.isolation.server; print({'pyspark', 'pyarrow', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_codecs_print_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str], decoder: DecoderClient) -> None:
    sound = encode(Image.new("RGB", (64, 64), "red"), "TIFF", compression="tiff_lzw")
    decoder.decode(views([sound[:at] + b"\xff" + sound[at + 1 :] for at in range(0, len(sound), 3)]))
    decoder.close()
    assert capfd.readouterr() == ("", "")


def test_a_process_keeps_one_decoder_as_long_as_the_limits_are_the_same() -> None:
    first = client_of_this_process(Limits())
    assert client_of_this_process(Limits()) is first
    other = client_of_this_process(Limits(max_pixels=10))
    assert other is not first
    assert first.pid is None
    other.close()


def test_threads_are_served_one_after_the_other(decoder: DecoderClient) -> None:
    with ThreadPoolExecutor(4) as pool:
        for decoded in pool.map(decoder.decode, [views(DIGITS)] * 20):
            assert_digits(results_of(decoded))
    assert decoder.starts == 1


def test_a_batch_that_is_interrupted_is_not_taken_for_the_next(decoder: DecoderClient) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        with pytest.raises(KeyboardInterrupt):
            decoder.decode(views([*DIGITS, SLOW, SLOW, SLOW]))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert_digits(results_of(decoder.decode(views(DIGITS))))


# --- on Spark ----------------------------------------------------------------------------------------------------


@pytest.fixture
def assassin(spark: SparkSession) -> Iterator[None]:
    """Kills every decoder of a Spark worker that takes as much memory as only `SLOW` needs."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.02):
            for process in psutil.process_iter(["cmdline", "memory_info"]):
                command, memory = process.info["cmdline"] or [], process.info["memory_info"]
                if "sparkdl.decoding.isolation.server" in command and memory and memory.rss > 200 * 2**20:
                    process.send_signal(signal.SIGSEGV)

    thread = threading.Thread(target=kill)
    thread.start()
    yield
    ended.set()
    thread.join()


@pytest.mark.usefixtures("assassin")
def test_a_poison_among_good_images_costs_one_dead_letter(spark: SparkSession, model: ModelVersion) -> None:
    good = [(f"{row:02d}.png", draw_png(row % 10, seed=row), None) for row in range(20)]
    frame = encoded_rows(spark, [*good[:7], ("poison.webp", SLOW, None), *good[7:]]).coalesce(1)
    rows = results(frame, model.load(), model.name, 0.5, Limits()).collect()
    assert [row.id for row in rows] == [
        "00.png",
        *[name for name, _, _ in good[1:7]],
        "poison.webp",
        *[name for name, _, _ in good[7:]],
    ]
    dead = [row for row in rows if row.reason is not None]
    assert [(row.id, row.reason) for row in dead] == [("poison.webp", "decoder_crashed")]
    assert "SIGSEGV" in dead[0].detail
    assert bytes(dead[0].payload) == SLOW
    assert all(row.prediction is not None for row in rows if row.reason is None)


def test_the_limit_of_time_reaches_the_workers(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", DIGITS[0]), ("slow", SLOW), ("b", DIGITS[1])], "origin string, payload binary")
    decoded = decode_images("payload", "origin", Limits(timeout=0.3)).alias("decoded")
    rows = frame.coalesce(1).select("origin", decoded).select("origin", "decoded.reason").collect()
    assert [tuple(row) for row in rows] == [("a", None), ("slow", "decoder_timeout"), ("b", None)]
