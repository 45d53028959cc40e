from __future__ import annotations

import io
from xml.etree import ElementTree

from cxr_spark.reporting.style import BLUE, figure
from cxr_spark.reporting.vector import themed

HOSTILE = "--><script>window.ran = 1</script>"


def test_a_plot_takes_the_colours_of_the_page_and_runs_nothing():
    made = io.BytesIO()
    with figure(4, 3, io.BytesIO(), made) as drawing:
        axes = drawing.add_subplot(title=HOSTILE, xlabel="x")
        axes.plot([0, 1], [0, 1], color=BLUE)
    text = themed(made.getvalue())
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(text).iter()}
    assert not {"script", "style"} & tags
    assert "http" not in text
    assert "window.ran" not in text
    assert text.startswith("<svg ")
    assert "var(--ink)" in text
    assert "var(--paper)" in text
    assert BLUE.lower() in text.lower()
    assert "width=" not in text[: text.index(">")]
