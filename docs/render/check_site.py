"""Check a built site: no page loads anything from another server. `python docs/render/check_site.py DIRECTORY`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
_LINKED = {"stylesheet", "preload", "icon", "preconnect", "modulepreload", "manifest", "dns-prefetch"}


class _Assets(HTMLParser):
    """Addresses that a browser loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_LOADED.get(tag, "")) or ""
        if tag == "link" and _LINKED & set((given.get("rel") or "").split()):
            address = given.get("href") or ""
        if address:
            self.found.append(address)


def foreign_assets(site: Path) -> Iterator[str]:
    """Yield each asset of another server that a page or a style sheet loads."""
    for page in sorted(site.rglob("*.html")):
        parser = _Assets()
        parser.feed(page.read_text(encoding="utf-8"))
        yield from (f"{page}: {address}" for address in parser.found if re.match(r"(https?:)?//", address))
    for sheet in sorted(site.rglob("*.css")):
        loaded = re.findall(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text(encoding="utf-8"))
        yield from (f"{sheet}: {address}" for address in loaded)


def main() -> None:
    site = Path(sys.argv[1])
    if not (site / "index.html").exists():
        sys.exit(f"no site at {site}: build it with `make docs`")
    if found := list(foreign_assets(site)):
        sys.exit("assets of other servers:\n" + "\n".join(found))


if __name__ == "__main__":
    main()
