"""Promises of `streaming.sources.directory.file_log_state`: the same state from memory as from what was written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streaming.sources.directory.file_log_state import (
    FORGET_AFTER,
    RETAINED,
    CleanupMark,
    FileLogState,
    Snapshot,
)

NOW = 1_800_000_000.0


def test_a_name_that_was_appended_is_there_until_its_file_is_gone() -> None:
    state = FileLogState()
    state.append(1, ["gone.png", "left.png"])
    state.clean_up(1, ["gone.png"], ["left.png"])
    assert (state.names, state.done, state.complete) == ({"left.png"}, 1, 1)


def test_a_snapshot_is_needed_after_a_hundred_complete_logs() -> None:
    state = FileLogState()
    for number in range(1, RETAINED):
        state.append(number, [])
    assert not state.needs_snapshot
    state.append(RETAINED, [])
    assert state.needs_snapshot
    state.cover(RETAINED)
    assert not state.needs_snapshot


def test_a_name_is_forgotten_when_it_was_absent_for_a_week_and_not_listed_in_between() -> None:
    state = FileLogState(names={"a.png", "b.png"})
    state.forget({"b.png"}, NOW)
    state.forget({"b.png"}, NOW + FORGET_AFTER - 1)
    assert state.names == {"a.png", "b.png"}
    state.list_again({"a.png"})
    state.forget({"b.png"}, NOW + FORGET_AFTER)
    assert state.names == {"a.png", "b.png"}
    state.forget({"b.png"}, NOW + 2 * FORGET_AFTER)
    assert state.names == {"b.png"}


def reread(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(st.lists(st.tuples(st.sets(st.sampled_from("abcdefgh"), max_size=3), st.booleans(), st.booleans()), max_size=12))
def test_what_is_restored_is_what_was_in_memory(steps: list[tuple[set[str], bool, bool]]) -> None:
    """Logs are appended; after each, its files are cleaned up (one stays), and a snapshot is written, or not."""
    state, logs = FileLogState(), list[set[str]]()
    state.cover(0)
    snapshot, mark = state.snapshot(0, set()), state.mark(0, ())
    state.clean_up(0, (), ())
    for listed, clean, snap in steps:
        names = listed - state.names  # a name that is in the log is not read again
        logs.append(names)
        state.append(len(logs), names)
        if clean:
            done = state.done or 0
            cleaned = set().union(*logs[done:])
            left = set(sorted(cleaned)[:1])
            mark = state.mark(len(logs), left)
            state.clean_up(len(logs), cleaned - left, left)
        if snap:
            later = set().union(*logs[state.complete :])
            snapshot = state.snapshot(state.complete, later)
            state.cover(state.complete)
        restored = FileLogState.restore(Snapshot.of(reread(snapshot.to_json())), CleanupMark.of(reread(mark.to_json())))
        for number in range(restored.last + 1, len(logs) + 1):
            restored.append(number, logs[number - 1])
        assert restored.names == state.names
        assert (restored.last, restored.done, restored.covered) == (state.last, state.done, state.covered)
