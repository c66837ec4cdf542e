"""Promises of `sparkdl.decoding.isolation.sandbox`: what a decoder gives up, no picture misses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bombs import QUICK, attacks
from fuzzing import mutations
from isolated import results_of, views
from needs import need
from valid_files import valid

from sparkdl.decoding.codecs.heif_pictures import is_readable
from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.decoding.isolation.sandbox import is_filter_known
from sparkdl.images.rejection import Limits, Reason, Rejected


@pytest.fixture
def decoder() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits())
    yield made
    made.close()


def test_system_calls_are_filtered_where_they_are_known(decoder: DecoderClient) -> None:
    need(is_filter_known(), "system calls are filtered on Linux, x86-64 and ARM64, only")
    decoder.decode(views([None]))
    assert decoder.is_filtered
    status = Path(f"/proc/{decoder.pid}/status").read_text()
    stated = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (stated["Seccomp"], stated["NoNewPrivs"]) == ("2", "1")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_limits_leave_no_room_for_files_and_processes(decoder: DecoderClient) -> None:
    decoder.decode(views([None]))
    limits = Path(f"/proc/{decoder.pid}/limits").read_text().splitlines()
    # Threads count as processes there; where they are allowed, the filter alone stands against processes.
    processes = () if is_readable("HEIC") else ("Max processes",)
    for name in ("Max file size", "Max open files", "Max core file size", *processes):
        (line,) = (line for line in limits if line.startswith(name))
        assert line[len(name) :].split()[:2] == ["0", "0"]


def test_a_confined_decoder_decodes_and_refuses_as_one_that_is_not(decoder: DecoderClient) -> None:
    payloads = [*valid().values(), *(attack.payload for attack in [*attacks(QUICK), *mutations(seed=11, count=300)])]
    for gray in (False, True):
        confined = results_of(decoder.decode(views(payloads), gray=gray))
        for payload, outcome in zip(payloads, confined, strict=True):
            here = decode(payload, reduce=True, gray=gray)
            if isinstance(here, Rejected) or isinstance(outcome, Rejected):
                assert outcome == here
            else:
                assert np.array_equal(outcome, here)
            assert not isinstance(outcome, Rejected) or outcome.reason is not Reason.DECODER_CRASHED
    assert decoder.starts == 1
