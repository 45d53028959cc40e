"""The page of a training in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr_spark.training.live.page import render
from tests.integration.test_browser import HOSTILE, WIDTHS
from tests.support.browser import CHROMIUM, Browser, chromium
from tests.unit.training.live.test_page import history

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("epochs", [0, 3])
def test_a_page_of_a_training_is_whole_in_any_window_and_runs_nothing_from_the_data(browser, tmp_path, width, epochs):
    facts = [("Weights before", name) for name in (*HOSTILE, "b" * 300)]
    html, _ = render(history(epochs), facts, epochs=5, best=1 if epochs else None, state="finished")
    page: Path = tmp_path / "training.html"
    page.write_text(html, encoding="utf-8")
    look = browser.look(page, width)
    assert (look.errors, look.overlaps) == ([], [])
    assert look.sideways <= 0
    assert browser.value("window.ran") is None
