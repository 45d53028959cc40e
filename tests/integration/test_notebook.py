"""The progress of work in a cell, by the real kernel of Jupyter notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

jupyter_client = pytest.importorskip(
    "jupyter_client", reason="no notebook kernel is installed: `python -m pip install ipykernel` runs this test"
)
pytest.importorskip(
    "ipykernel", reason="no notebook kernel is installed: `python -m pip install ipykernel` runs this test"
)

#: A cell whose work has done 1 to 4 of 4 parts.
WORK = """
import logging, time
from cxr_spark.runtime import progress
progress.NOTEBOOK_SECONDS = 0.05
done = [1]
with progress.watched("preparing <b>", 4, lambda: done[0]):
    for parts in (2, 3, 4):
        time.sleep(0.5)
        done[0] = parts
print("ended")
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch) -> Iterator[Any]:
    """A kernel that is reached through files of this test alone, and has no settings of the user."""
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    manager = jupyter_client.KernelManager(kernel_name="python3", transport="ipc", ip=str(tmp_path / "kernel"))
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def outputs(kernel: Any, code: str) -> list[dict[str, Any]]:
    """Runs a cell, which must end well, and returns the messages of its outputs."""
    told: list[dict[str, Any]] = []
    answer = kernel.execute_interactive(code, output_hook=told.append, timeout=120)
    assert answer["content"]["status"] == "ok", answer["content"]
    cell = answer["parent_header"]["msg_id"]
    assert {each["parent_header"]["msg_id"] for each in told} == {cell}
    return [each for each in told if each["msg_type"] in ("stream", "display_data", "update_display_data")]


def test_a_cell_has_one_bar_that_is_replaced_until_all_is_done(kernel):
    first, *others, said = outputs(kernel, WORK)
    assert (said["msg_type"], said["content"]["text"]) == ("stream", "ended\n")
    assert first["msg_type"] == "display_data"
    assert {each["msg_type"] for each in others} == {"update_display_data"}
    bars = [each["content"] for each in (first, *others)]
    assert len({each["transient"]["display_id"] for each in bars}) == 1
    shown = [next(parts for parts in range(1, 5) if f"{parts}/4" in each["data"]["text/html"]) for each in bars]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (1, 4)
    assert all("preparing &lt;b&gt;" in each["data"]["text/html"] for each in bars)


@pytest.mark.parametrize(
    "before",
    [
        "import logging; logging.getLogger('cxr_spark').setLevel(logging.WARNING)",
        "import IPython.display\ndef broken(*_, **__): raise RuntimeError('no page')\nIPython.display.display = broken",
    ],
    ids=["silenced", "broken"],
)
def test_a_cell_works_without_a_bar_where_none_is_wanted_or_possible(kernel, before):
    (said,) = outputs(kernel, before + WORK)
    assert said["content"]["text"] == "ended\n"
