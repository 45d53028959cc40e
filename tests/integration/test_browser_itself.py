"""The browser of the tests tells script errors, requests, sideways scrolling and texts that overlap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import CHROMIUM, Browser, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<p>plain</p>", (0, False, 0)),
        ("<script>missing()</script>", (1, False, 0)),
        ("<img src='https://example.invalid/x.png'>", (1, False, 0)),
        ("<div style='width: 900px'>wide</div>", (0, True, 0)),
        ("<p style='margin: 0'>one</p><p style='margin: -1.2em 0 0'>other</p>", (0, False, 1)),
        ("<details><summary>closed</summary><p>one</p></details>", (0, False, 0)),
    ],
    ids=["plain", "error", "network", "wide", "overlap", "closed"],
)
def test_the_browser_sees_what_it_is_asked_for(browser, tmp_path, body, found):
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    page = tmp_path / "page.html"
    page.write_text(f"<!DOCTYPE html><meta http-equiv='Content-Security-Policy' content=\"{policy}\"><body>{body}")
    look = browser.look(page, 400)
    assert (len(look.errors), look.sideways > 0, len(look.overlaps)) == found
