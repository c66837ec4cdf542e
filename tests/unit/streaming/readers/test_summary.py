"""Promises of the summary of a sink about labels, whatever reads its rows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from streaming.readers.base import Reader


class Listed(Reader):
    """Predictions in memory."""

    def __init__(self, *labelled: tuple[str | None, str]) -> None:
        self._labelled = labelled

    def rows(self, *, dead: bool = False, follow: bool = False) -> Iterator[dict[str, Any]]:
        for label, prediction in () if dead else self._labelled:
            yield {"label": label, "prediction": prediction, "model": "m", "needs_review": False, "reason": None}

    def columns(self, names: Sequence[str], *, dead: bool = False) -> Iterator[dict[str, list[Any]]]:
        rows = list(self.rows(dead=dead))
        yield {name: [row[name] for row in rows] for name in names}


def test_a_label_is_right_however_its_letters_are_composed() -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    summary = Listed((decomposed, composed), (composed, decomposed), ("cafe", composed), (None, composed)).summary()
    assert (summary["labelled"], summary["correct"], summary["images"]) == (3, 2, 4)
