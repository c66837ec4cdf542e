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

from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.decoding.isolation.sandbox import is_filter_known
from sparkdl.images.rejection import Limits, Reason, Rejected

WITHOUT_HEIC = """
import sys

sys.modules["pillow_heif"] = None
from sparkdl.decoding.isolation.server import main

main()
"""
"""A template on a machine without the extra `heif`, whose codec needs threads."""


@pytest.fixture
def decoder() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits())
    yield made
    made.close()


@pytest.fixture
def without_heic() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits(), program=("-c", WITHOUT_HEIC))
    yield made
    made.close()


@pytest.fixture(params=["decoder", "without_heic"])
def either(request: pytest.FixtureRequest) -> DecoderClient:
    return request.getfixturevalue(request.param)


def test_system_calls_are_filtered_where_they_are_known(either: DecoderClient) -> None:
    need(is_filter_known(), "system calls are filtered on Linux, x86-64 and ARM64, only")
    either.decode(views([None]))
    assert either.is_filtered
    status = Path(f"/proc/{either.pid}/status").read_text()
    stated = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (stated["Seccomp"], stated["NoNewPrivs"]) == ("2", "1")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which only Linux has")
def test_limits_leave_no_room_for_files_and_processes(decoder: DecoderClient, without_heic: DecoderClient) -> None:
    names = ("Max file size", "Max open files", "Max core file size")
    # Threads count as processes; where they are allowed, only the filter prevents processes.
    for client, limited in ((decoder, names), (without_heic, (*names, "Max processes"))):
        client.decode(views([None]))
        limits = Path(f"/proc/{client.pid}/limits").read_text().splitlines()
        for name in limited:
            (line,) = (line for line in limits if line.startswith(name))
            assert line[len(name) :].split()[:2] == ["0", "0"]


def test_without_its_extra_heic_is_refused_and_all_else_is_read(without_heic: DecoderClient) -> None:
    images = valid()
    results = results_of(without_heic.decode(views([*images.values()])))
    for (name, payload), result in zip(images.items(), results, strict=True):
        if name.startswith("HEIC"):
            assert isinstance(result, Rejected)
            assert "sparkdl-streaming[heif]" in result.detail
        else:
            assert np.array_equal(result, decode(payload, reduce=True)), name
    assert without_heic.starts == 1


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
