"""The message of a failure: the innermost line of Spark's text."""

from __future__ import annotations

import pytest

from streaming.failures import root_cause


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("[X] one line", "[X] one line"),
        (
            "[X] failed\nCaused by: java.io.IOException: outer\nCaused by: java.io.IOException: disk full\n\tat a.b",
            None,
        ),
        (
            '[X] failed\n  File "a.py", line 1\nOSError: disk full\n\tat a.b\nCaused by: org.E: more',
            "OSError: disk full",
        ),
        (
            "An exception was raised by the Python Proxy. Return Message: Traceback (most recent call last):\n"
            '  File "a.py", line 1\npyspark.errors.exceptions.captured.SparkRuntimeException: disk full',
            "pyspark.errors.exceptions.captured.SparkRuntimeException: disk full",
        ),
        (
            "py4j.protocol.Py4JJavaError: An error occurred while calling o7.save.\n: java.io.IOException: disk full\n"
            "\tat a.b\nCaused by: py4j.Py4JException: An exception was raised by the Python Proxy.",
            None,
        ),
        (
            "[STREAM_FAILED] An exception was raised by the Python Proxy. Return Message: Traceback (most recent call "
            'last):\n  File "a.py", line 1, in write\n    raise Full("disk full")\nmine.Full: disk full\n SQLSTATE: XX',
            "mine.Full: disk full",
        ),
        (
            "[STREAM_FAILED] An exception was raised by the Python Proxy. Return Message: Traceback (most recent call "
            'last):\n  File "a.py", line 1, in write\n    assert rows\n           ^^^^\nAssertionError\n',
            "AssertionError, without a message",
        ),
        (
            "[STREAM_FAILED] An exception was raised by the Python Proxy. Return Message: Traceback (most recent call "
            'last):\n  File "a.py", line 1, in write\nstreaming.checkpoint.lock.LostCheckpointError: another has it\n',
            "another has it",
        ),
        ("An exception was raised by the Python Proxy. Return Message: disk full", "disk full"),
        (
            "An exception was raised by the Python Proxy. Return Message: Traceback (most recent call last):",
            "an error without a message",
        ),
    ],
)
def test_the_root_cause_is_the_innermost_line(message: str, line: str | None) -> None:
    assert root_cause(message) == (line or "java.io.IOException: disk full")
