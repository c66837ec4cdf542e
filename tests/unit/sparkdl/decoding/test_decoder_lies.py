"""Promises of the decoder client about a decoder that was taken over: it costs its image, nothing raises or
hangs.

Each decoder here is a real process, see `liar`, that does its worst when it is given a payload of a certain kind.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from isolated import DIGITS, assert_digits, results_of, views
from liar import TAKEN, liar
from needs import need
from streams import wait_until

from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Limits, Reason, Rejected

TIMEOUT = 1.0

linux = pytest.mark.skipif(sys.platform != "linux", reason="seals, seccomp and /proc are of Linux only")


@contextmanager
def taken_over(lie: str, *, confined: bool = True) -> Iterator[DecoderClient]:
    decoder = DecoderClient(Limits(timeout=TIMEOUT), program=liar(lie, confined=confined))
    try:
        yield decoder
    finally:
        decoder.close()


def outcome_of(decoder: DecoderClient, words: str = "", *, gray: bool = False) -> Pixels | Rejected:
    """What the image comes to that takes the decoder over; its neighbours come to what they are."""
    payloads = [*DIGITS[:3], TAKEN + words.encode(), *DIGITS[3:]]
    results = results_of(decoder.decode(views(payloads), gray=gray))
    taken = results.pop(3)
    if not gray:
        assert_digits(results)
        assert_digits(results_of(decoder.decode(views(DIGITS))))
    return taken


def assert_blamed(outcome: Pixels | Rejected, *reasons: Reason) -> str:
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason in reasons, outcome
    return outcome.detail


@pytest.mark.parametrize(
    "lie",
    [
        "size_of_request",
        "huge_counts",
        "negative_counts",
        "done_before_begun",
        "back_and_forth",
        "dies_in_no_image",
        "answers_too_early",
        "floods",
        "lets_go",
        "huge_shape",
        "negative_shape",
        "overflowing_shape",
        "empty_shape",
        "two_channels",
        "too_many_pixels",
        "long_side",
        "unknown_reason",
        "reason_of_others",
        "huge_detail",
        "negative_detail",
    ],
)
def test_what_contradicts_itself_is_a_crash_of_the_image(lie: str) -> None:
    with taken_over(lie) as decoder:
        began = time.monotonic()
        assert_blamed(outcome_of(decoder), Reason.DECODER_CRASHED)
        assert time.monotonic() - began < 2 * TIMEOUT + 3


@pytest.mark.parametrize("lie", ["ahead", "hangs_in_no_image"])
def test_what_it_says_of_its_progress_gains_it_no_time(lie: str) -> None:
    with taken_over(lie) as decoder:
        began = time.monotonic()
        assert_blamed(outcome_of(decoder), Reason.DECODER_CRASHED, Reason.DECODER_TIMEOUT)
        assert time.monotonic() - began < 4 * TIMEOUT + 3


def test_a_picture_with_colours_where_none_were_asked_for_is_a_crash() -> None:
    with taken_over("colour") as decoder:
        assert_blamed(outcome_of(decoder, gray=True), Reason.DECODER_CRASHED)


def test_what_changes_while_it_is_read_is_read_once() -> None:
    with taken_over("flickers") as decoder:
        for _ in range(3):
            decoded = decoder.decode(views([*DIGITS[:3], TAKEN]))
            assert len(decoded.shapes) == 4
            assert decoded.shapes.prod(axis=1).sum() == len(decoded.pixels)
            assert_digits(results_of(decoded)[:3], DIGITS[:3])


def test_a_decoder_that_never_works_is_no_fault_of_an_image() -> None:
    with (
        taken_over("always_ends") as decoder,
        pytest.raises(SparkdlError, match="before it decodes anything: the decoder ended by exit code 0"),
    ):
        decoder.decode(views(DIGITS))


# --- what it leaves behind ---------------------------------------------------------------------------------------


@linux
def test_what_it_has_forked_ends_with_it_where_forking_is_not_refused(tmp_path: Path) -> None:
    with taken_over("forks", confined=False) as decoder:
        decoder.decode(views([TAKEN + str(tmp_path / "first").encode()]))
        assert_digits(results_of(decoder.decode(views(DIGITS))))
        child = int((tmp_path / "first").read_text())
        wait_until(lambda: not psutil.pid_exists(child), 10)


@linux
def test_a_template_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with taken_over("kills_its_parent", confined=False) as decoder:
        decoder.decode(views(DIGITS))
        assert decoder.pid is not None
        template = psutil.Process(decoder.pid).ppid()
        assert_blamed(outcome_of(decoder), Reason.DECODER_CRASHED)
        assert not psutil.pid_exists(template)


def test_a_decoder_that_was_stopped_is_ended_in_time(tmp_path: Path) -> None:
    with taken_over("forks") as decoder:
        decoder.decode(views(DIGITS))
        assert decoder.pid is not None
        os.kill(decoder.pid, signal.SIGSTOP)
        began = time.monotonic()
        assert_digits(results_of(decoder.decode(views(DIGITS))))
        assert time.monotonic() - began < 2 * TIMEOUT + 3


# --- what it cannot do -------------------------------------------------------------------------------------------


@pytest.fixture
def filtered() -> None:
    decoder = DecoderClient(Limits())
    decoder.decode(views(DIGITS[:1]))
    decoder.close()
    need(decoder.is_filtered, "system calls of decoders are filtered on Linux with seccomp, x86-64 and ARM64, only")


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("lie", ["forks", "runs_a_program", "execs", "writes", "opens"])
def test_it_can_open_run_and_fork_nothing(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if lie == "opens":
        path.write_text("secret")
    with taken_over(lie) as decoder:
        detail = assert_blamed(outcome_of(decoder, str(path)), Reason.DECODER_CRASHED)
    assert "SIGSYS" in detail or "the system refused a call" in detail, detail
    assert "secret" not in detail
    assert path.exists() == (lie == "opens")


@pytest.mark.usefixtures("filtered")
def test_it_cannot_kill_others() -> None:
    with taken_over("kills_its_parent") as decoder:
        decoder.decode(views(DIGITS))
        assert decoder.pid is not None
        template = psutil.Process(decoder.pid).ppid()
        detail = assert_blamed(outcome_of(decoder), Reason.DECODER_CRASHED)
        assert decoder.pid is not None
        assert psutil.Process(decoder.pid).ppid() == template
    assert "SIGSYS" in detail


@pytest.mark.usefixtures("filtered")
def test_it_cannot_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, taken_over("connects") as decoder:
        detail = assert_blamed(outcome_of(decoder, str(server.getsockname()[1])), Reason.DECODER_CRASHED)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "SIGSYS" in detail


@linux
def test_it_cannot_cut_the_memory_that_its_worker_reads() -> None:
    with taken_over("cuts_the_memory", confined=False) as decoder:
        assert_blamed(outcome_of(decoder), Reason.DECODER_CRASHED)


def test_a_module_that_it_lacks_is_no_fault_that_is_found_in_the_picture() -> None:
    with taken_over("imports") as decoder:
        detail = assert_blamed(outcome_of(decoder), Reason.DECODER_CRASHED)
    assert "module mailbox was not loaded before" in detail


@linux
def test_it_knows_little_of_its_worker() -> None:
    os.environ["SPARKDL_TEST_SECRET"] = "hidden"
    try:
        decoder = DecoderClient(Limits())
        decoder.decode(views(DIGITS[:1]))
        assert decoder.pid is not None
        process = psutil.Process(decoder.pid)
        assert "hidden" not in process.environ().values()
        assert len(process.open_files()) == 0
        assert {file.name for file in Path(f"/proc/{decoder.pid}/fd").iterdir()} == {"0", "1", "2"}
        decoder.close()
    finally:
        del os.environ["SPARKDL_TEST_SECRET"]
