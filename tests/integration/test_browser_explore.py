"""The page of prepared data in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_browser import FINDINGS, HOSTILE, WIDTHS
from tests.support.browser import CHROMIUM, Browser, chromium
from tests.support.explorations import facts_of, page_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def explored(tmp_path_factory) -> Path:
    """The page of prepared data with hostile names of findings, images, views and reasons."""
    page = tmp_path_factory.mktemp("explored") / "explore.html"
    page.write_text(page_of(facts_of(FINDINGS, (*HOSTILE, "b" * 300), HOSTILE)), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_page_of_prepared_data_is_whole_in_any_window_and_runs_nothing_from_the_data(browser, explored, width):
    look = browser.look(explored, width)
    assert (look.errors, look.overlaps) == ([], [])
    assert look.sideways <= 0
    assert browser.value("window.ran") is None
    assert browser.value("[...document.querySelectorAll('.sheet img')].every((each) => each.naturalWidth === 128)")
