from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from cxr_spark.runtime import progress

LOG = "cxr_spark.runtime.progress"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.01)
    monkeypatch.setattr(progress, "BAR_SECONDS", 0.01)


def wait_for(found):
    until = time.monotonic() + 5
    while not found() and time.monotonic() < until:
        time.sleep(0.01)


def test_a_log_gets_a_line_again_and_again_while_work_goes_on(often, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    done = [1]
    with caplog.at_level(logging.INFO, LOG), progress.watched("preparing", 4, lambda: done[0]):
        wait_for(lambda: "1 of 4" in caplog.text)
        done[0] = 9  # parts that were tried again count twice
        wait_for(lambda: "4 of 4" in caplog.text)
    assert "preparing: 1 of 4 parts done" in caplog.text
    assert "preparing: 4 of 4 parts done" in caplog.text
    ended = len(caplog.records)
    time.sleep(0.05)
    assert len(caplog.records) == ended


def test_short_work_says_nothing(caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO, LOG), progress.watched("preparing", 4, lambda: 0):
        pass
    assert caplog.text == ""


def test_a_terminal_shows_a_bar_and_leaves_it_with_the_error(often, caplog, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def work():
        with progress.watched("scoring [bold]", 3, lambda: 2):
            wait_for(lambda: "2/3" in terminal.getvalue())
            raise ValueError("broken")

    with caplog.at_level(logging.INFO, LOG), pytest.raises(ValueError, match="broken"):
        work()
    assert "2/3" in terminal.getvalue()
    assert "scoring [bold]" in terminal.getvalue()
    assert caplog.text == ""


def test_a_program_that_does_not_want_the_log_sees_nothing(often, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logging.getLogger("cxr_spark").setLevel(logging.WARNING)
    try:
        with progress.watched("scoring", 3, lambda: 2):
            time.sleep(0.05)
    finally:
        logging.getLogger("cxr_spark").setLevel(logging.NOTSET)
    assert terminal.getvalue() == ""
