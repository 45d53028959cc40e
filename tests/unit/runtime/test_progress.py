from __future__ import annotations

import io
import logging
import sys
import time
import types

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
    monkeypatch.setattr(progress, "NOTEBOOK_SECONDS", 0.01)


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


class ZMQInteractiveShell:
    """A shell of the name by which Jupyter's is known."""


class Shell(ZMQInteractiveShell):
    """As Colab's is one of Jupyter's."""


class TerminalInteractiveShell:
    """IPython's own on a terminal."""


class Notebook:
    """A notebook's IPython that keeps what is displayed: each output with all that it was replaced by.

    Args:
        shell: the class of its shell.
        error: what its display raises.
        replaces: whether its display gives a handle to replace the output by.
    """

    def __init__(self, monkeypatch, shell=ZMQInteractiveShell, error=None, replaces=True):
        self.outputs, self._error, self._replaces = [], error, replaces
        ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        ipython.get_ipython, display.display = shell, self.display
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, shown, display_id=None):
        if self._error is not None:
            raise self._error
        output = [self._html(shown)]
        self.outputs.append(output)
        if self._replaces and display_id is True:
            return types.SimpleNamespace(update=lambda other: output.append(self._html(other)))
        return None

    @staticmethod
    def _html(shown):
        return shown._repr_mimebundle_([], [])["text/html"]


@pytest.mark.parametrize("shell", [ZMQInteractiveShell, Shell])
def test_a_notebook_shows_one_output_that_is_replaced_and_stays_though_no_log_was_asked_for(
    often, monkeypatch, caplog, capfd, shell
):
    notebook, done = Notebook(monkeypatch, shell), [1]
    with progress.watched("preparing <b>[bold]", 4, lambda: done[0]):
        wait_for(lambda: notebook.outputs and len(notebook.outputs[0]) > 2)
        done[0] = 9  # parts that were tried again count twice
    (output,) = notebook.outputs
    assert "1/4" in output[0]
    assert "4/4" in output[-1]
    assert "preparing &lt;b&gt;[bold]" in output[0]
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")


def test_a_notebook_keeps_how_far_work_came_that_failed(often, monkeypatch):
    notebook = Notebook(monkeypatch)

    def work():
        with progress.watched("scoring", 3, lambda: 2):
            wait_for(lambda: notebook.outputs)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert "2/3" in notebook.outputs[0][-1]


def test_work_that_is_short_shows_nothing_in_a_notebook(monkeypatch):
    notebook = Notebook(monkeypatch)
    with progress.watched("scoring", 3, lambda: 2):
        pass
    assert notebook.outputs == []


def test_a_notebook_that_does_not_want_the_log_sees_nothing(often, monkeypatch):
    notebook = Notebook(monkeypatch)
    monkeypatch.setattr(logging.getLogger("cxr_spark"), "level", logging.WARNING)
    with progress.watched("scoring", 3, lambda: 2):
        time.sleep(0.05)
    assert notebook.outputs == []


@pytest.mark.parametrize("fault", [{"error": RuntimeError("no page is there")}, {"replaces": False}])
def test_a_notebook_that_cannot_replace_outputs_gets_lines_in_the_log(often, monkeypatch, caplog, fault):
    notebook = Notebook(monkeypatch, **fault)
    with caplog.at_level(logging.INFO, LOG), progress.watched("scoring", 3, lambda: 2):
        wait_for(lambda: "2 of 3" in caplog.text)
    assert "scoring: 2 of 3 parts done" in caplog.text
    assert len(notebook.outputs) <= 1


def test_ipython_on_a_terminal_is_no_notebook(often, monkeypatch):
    notebook = Notebook(monkeypatch, TerminalInteractiveShell)
    with progress.watched("scoring", 3, lambda: 2):
        time.sleep(0.05)
    assert notebook.outputs == []
