"""Progress of long steps on stderr: drawn at a terminal, as lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.text import Text

from console.output import err, shows_progress
from sparkdl.system.terminal import printable

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_SECONDS = 10.0  # between two lines about one step, where there is no terminal


@contextmanager
def working(message: str) -> Iterator[None]:
    """Show that a long step is running: a spinner at a terminal, one line elsewhere."""
    if shows_progress():
        with err.status(Text(printable(message))):
            yield
    else:
        err.print(message, soft_wrap=True)
        yield


class Pace:
    """Rate and time left of a step, from the counts since its beginning.

    Parameters
    ----------
    clock
        Returns seconds that never go back.

    Examples
    --------
    >>> times = iter([0.0, 4.0])
    >>> pace = Pace(lambda: next(times))
    >>> pace.describe(200, 300)
    '200 of 300, 50.0/s, 0:02 left'
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()

    def describe(self, done: int, total: int | None) -> str:
        """Return the counts, the rate per second and, if the total is known, the time left."""
        seconds = self._clock() - self._begun
        rate = done / seconds if seconds > 0 else 0.0
        said = [f"{done} of {total}" if total else str(done)]
        if rate:
            said.append(f"{rate:.1f}/s")
            if total and done < total:
                said.append(f"{format_seconds((total - done) / rate)} left")
        return ", ".join(said)


def format_seconds(seconds: float) -> str:
    """Return a duration as `0:02` or `1:02:03`.

    Examples
    --------
    >>> format_seconds(3723)
    '1:02:03'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def counting(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of items done, and show it with the rate and the time left.

    Without a terminal nothing is printed in the first seconds.
    """
    with progressing(what, announce=False) as progress:
        yield lambda done: progress(what, done, total or 0)


@contextmanager
def progressing(first: str = "training", *, announce: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows the progress of steps: name, items done, and their number or 0 if it is unknown.

    What follows a comma in the name may change within a step.

    Parameters
    ----------
    first
        The name that is shown before the first step.
    announce
        Whether the beginning and the end of a step are separate lines, where there is no terminal.
    """
    if err.quiet:
        yield lambda what, done, total: None
    elif not shows_progress():
        yield Lines(announce=announce)
    else:
        with _bar(first) as bars:
            yield _Bar(bars)


class Lines:
    """Progress as lines: one every ten seconds of a step, and with `announce` at its beginning and its end.

    Parameters
    ----------
    clock
        Returns seconds that never go back.
    """

    def __init__(self, *, announce: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._announce, self._clock = announce, clock
        self._step, self._pace, self._said = "", Pace(clock), clock()

    def __call__(self, what: str, done: int, total: int) -> None:
        step, now = what.partition(",")[0], self._clock()
        is_new = step != self._step
        if is_new:
            self._step, self._pace, self._said = step, Pace(self._clock), now
        if (self._announce and (is_new or done == total > 0)) or now - self._said >= _LINE_SECONDS:
            self._said = now
            err.print(
                printable(f"{what}: {self._pace.describe(done, total)}" if done or total else what), soft_wrap=True
            )


class _Bar:
    """Progress as a bar that starts again with each step."""

    def __init__(self, bars: Progress) -> None:
        self._bars, self._task, self._step, self._pace = bars, bars.tasks[0].id, "", Pace()

    def __call__(self, what: str, done: int, total: int) -> None:
        step = what.partition(",")[0]
        if step != self._step:
            self._step, self._pace = step, Pace()
            self._bars.reset(self._task)
        pace = self._pace.describe(done, total) if done else ""
        self._bars.update(self._task, description=printable(what), completed=done, total=total or None, pace=pace)


def _bar(first: str) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    words = TextColumn("{task.description}", markup=False)
    pace = TextColumn("{task.fields[pace]}", markup=False)
    bars = Progress(SpinnerColumn(), words, BarColumn(bar_width=20), pace, console=err, transient=True)
    bars.add_task(printable(first), total=None, pace="")
    return bars


@contextmanager
def fetching(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a download of jars, if there is one: a bar at a terminal, one line elsewhere."""
    progress: Callable[[str, int, int], None] | None = None
    with ExitStack() as stack:

        def note(done: int, total: int) -> None:
            nonlocal progress
            if progress is None:
                progress = stack.enter_context(progressing(f"fetching {what}"))
                if not shows_progress():
                    err.print(f"fetching {what}, once", soft_wrap=True)
            if shows_progress():
                progress(f"fetching {what}", done, total)

        yield note
