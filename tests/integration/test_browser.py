"""The pages in a real browser: no script error, no sideways scrolling, no text on text, nothing run from the data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cxr_spark.datasets.findings import NIH_FINDINGS
from cxr_spark.evaluation.report.mistakes import Pictures
from cxr_spark.evaluation.report.movable import movable_points
from cxr_spark.evaluation.report.overlays import Overlays
from cxr_spark.evaluation.report.page import render
from cxr_spark.evaluation.report.panels import compared_panels, panels_of
from cxr_spark.evaluation.report.plots import RocCurve
from cxr_spark.evaluation.report.published import beside_published
from cxr_spark.evaluation.report.tables import tables_of
from cxr_spark.explanation.localization import BoxOverlap
from cxr_spark.explanation.page import render as page_of_pictures
from cxr_spark.explanation.sanity import CheckedMaps, summary_of
from cxr_spark.explanation.shown import ShownFinding, ShownImage
from cxr_spark.explanation.summary import localization
from cxr_spark.reporting.thumbnails import thumbnail
from tests.support.browser import CHROMIUM, Browser, chromium
from tests.unit.evaluation.report.test_page import all_metrics, curve, points_of, subgroup

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")
#: Names that would set a variable of the page if any of them were taken for markup.
HOSTILE = (
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>.png",
    '"><svg onload=window.ran=1>',
    "</style></script><script>window.ran = 1</script>",
    "{{ 7 * 7 }}${window.ran = 1}",
)
FINDINGS = ("Mass", "Pleural_Thickening", "Atelectasis", *HOSTILE)
PAGES = {
    "one finding": (FINDINGS[:1],),
    "hostile names": (FINDINGS,),
    "pictures": (FINDINGS, True),
    "maps": (FINDINGS, True, True),
}
WIDTHS = {"desktop": 1280, "phone": 400}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def evaluation(findings, shown=False, mapped=False) -> str:
    """A report with every part that it can have, of findings of any names."""
    curves = {name: curve(auc=0.7 + 0.01 * place) for place, name in enumerate(findings)}
    row = {"auc": 0.8, "auc_baseline": 0.7, "auc_difference": 0.1, "auc_difference_ci95": [0.05, 0.15]}
    row |= {"f1": 0.5, "f1_baseline": 0.4, "f1_difference": 0.1}
    row |= dict.fromkeys(("p_bootstrap", "p_bootstrap_holm", "p_delong", "p_delong_holm"), 0.01)
    images = [{"image_index": name, "label": 1, "probability": 0.9, "probability_baseline": 0.1} for name in HOSTILE]
    comparison = {
        "baseline": {"predictions": HOSTILE[0], "model_id": None},
        "n_images": 100,
        "images_not_in_baseline": 0,
        "f1_rule": "0.5",
        "findings": dict.fromkeys(findings, row),
        "macro": row,
        "disagreements": {findings[0]: images},
    }
    worst = [{"image_index": name, "probability": 0.9} for name in HOSTILE[:4]]
    wrong = {"threshold": 0.5, "false_positives": worst, "false_negatives": worst[:1]}
    mistakes = {"rule": "0.5", "findings": dict.fromkeys(findings, wrong)}
    groups = {"sex": {HOSTILE[1]: subgroup(curves, flagged=True), "M": subgroup(curves, few=True)}}
    numbers = all_metrics(
        curves,
        comparison=comparison,
        subgroups=groups,
        subgroup_crossings={"sex x age_band": {"F, 20-39": subgroup(curves)}},
        operating_points=points_of(curves),
        mistakes=mistakes,
        splits={"test": {"n_images": 9, "macro_auc": 0.8, "macro_auc_ci95": None, "findings_used": 3}},
        model={"architecture": HOSTILE[3], "weights": "x" * 200},
    )
    picture = thumbnail(np.full((200, 200), 90, np.uint8), 160)
    maps = Overlays({(name, finding): picture for name in HOSTILE[:2] for finding in findings}, HOSTILE[0])
    pictures = Pictures(dict.fromkeys(HOSTILE[:3], picture), overlays=maps if mapped else None) if shown else None
    nih = {name: {"auc": 0.8} for name in NIH_FINDINGS}
    numbers["published"] = beside_published({"findings": nih, "n_images": 25_596}, {})
    drawn = [RocCurve(name, each.auc, each.roc, np.array([np.inf, 0.75, 0.001234])) for name, each in curves.items()]
    return render(
        numbers,
        panels=panels_of(drawn, drawn[0], numbers),
        compared=compared_panels([(each, each) for each in drawn]),
        tables=tables_of(numbers),
        created=HOSTILE[4],
        pictures=pictures,
        movable=movable_points(drawn, numbers, drawn[0]),
    )


@pytest.fixture(scope="module", params=list(PAGES))
def report(request, tmp_path_factory) -> Path:
    page = tmp_path_factory.mktemp("pages") / "report.html"
    page.write_text(evaluation(*PAGES[request.param]), encoding="utf-8")
    return page


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_report_is_whole_in_any_window_and_runs_nothing_from_the_data(browser, report, width):
    look = browser.look(report, width)
    assert look.errors == []
    assert look.sideways <= 0
    browser.value("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert browser.overlaps() == []
    assert browser.value("window.ran") is None
    assert report.stat().st_size < 3_000_000


def test_tables_sort_by_a_click_on_their_heading(browser, report):
    browser.look(report)
    cells = "[...document.querySelectorAll('#table-findings tbody tr')].map((row) => Number(row.children[2].innerText))"
    before = browser.value(cells)
    browser.value("document.querySelectorAll('#table-findings thead button')[1].click()")
    assert browser.value(cells) == sorted(before, reverse=True)


def moved(browser) -> dict[str, str]:
    """The table of the operating point that is moved by hand, as it is now."""
    cells = "[...document.querySelectorAll('.operating tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    return dict(browser.value(cells))


def test_the_table_follows_an_operating_point_that_is_moved(browser, report):
    browser.look(report)
    assert browser.value("document.querySelector('.operating').checkVisibility()")
    places = browser.value("Number(document.querySelector('.operating input').max)")
    assert places == 1  # of 40 positives and 60 negatives: 20 and 15 at 0.75, all at 0.001234
    for place, expected in (
        (0, ("0.750", "0.500", "0.750", "0.571", "0.692", "20", "15", "20", "45")),
        (1, ("0.00123", "1.000", "0.000", "0.400", "none", "40", "60", "0", "0")),
    ):
        browser.value(
            "(() => { const slider = document.querySelector('.operating input');"
            f"slider.value = {place}; slider.dispatchEvent(new Event('input')); }})()"
        )
        assert tuple(moved(browser).values()) == expected
        dot = browser.value("['cx', 'cy'].map((n) => document.querySelector('svg.roc .dot').getAttribute(n))")
        assert dot == (["25.00", "50.00"] if place == 0 else ["100.00", "0.00"])


def test_pointing_at_a_curve_moves_the_operating_point(browser, report):
    browser.look(report)
    for x, y, sensitivity in ((0.3, 0.45, "0.500"), (0.95, 0.1, "1.000")):
        browser.value(
            "(() => { const frame = document.querySelector('svg.roc .frame').getBoundingClientRect();"
            f"document.querySelector('svg.roc').dispatchEvent(new PointerEvent('pointermove', "
            f"{{ clientX: frame.left + {x} * frame.width, clientY: frame.top + {y} * frame.height }})); }})()"
        )
        assert moved(browser)["Sensitivity"] == sensitivity


def test_another_finding_is_chosen_for_the_operating_point(browser, report):
    browser.look(report)
    names = browser.value("[...document.querySelectorAll('.operating option')].map((each) => each.textContent)")
    several = [*(name.replace("_", " ") for name in FINDINGS), "micro (pooled)"]
    assert names == (several if len(names) > 1 else several[:1])
    browser.value(
        "(() => { const choice = document.querySelector('.operating select');"
        "choice.value = choice.options[choice.options.length - 1].value;"
        "choice.dispatchEvent(new Event('change')); })()"
    )
    assert moved(browser)["True positives"] in ("20", "40")
    assert browser.value("document.querySelector('svg.roc .curve').getAttribute('d')").startswith("M0,100 25.00,50.00")
    assert browser.value("window.ran") is None


def test_a_report_is_dark_where_the_reader_wants_it(browser, report, tmp_path):
    browser.look(report, dark=True)
    browser.picture(tmp_path / "dark.png")
    picture = cv2.imread(str(tmp_path / "dark.png"))
    assert np.mean(picture.max(axis=2) > 230) < 0.05  # letters and lines are light, no panel is


@pytest.fixture(scope="module")
def explained(tmp_path_factory) -> Path:
    """The page of three pictures, with hostile names, boxes and labels, beside the picture files."""
    folder = tmp_path_factory.mktemp("explained")
    cv2.imwrite(str(folder / "a.png"), np.full((1222, 1062), 100, np.uint8))
    hit = BoxOverlap("Mass", 1, visible=True, evidence=True, hit=True, iou=0.42)
    images = [
        ShownImage("a.png", "a.png", (ShownFinding("Mass", 0.9, True, True, hit),)),
        ShownImage(HOSTILE[1], "a.png", tuple(ShownFinding(name, 0.8, True, False) for name in FINDINGS)),
        ShownImage("b" * 300, "a.png", (ShownFinding("Mass", 0.1, False, True),)),
    ]
    found = localization([hit, hit._replace(finding=HOSTILE[0])], None, None, {"warnings": [HOSTILE[3]]})
    page = folder / "index.html"
    blocks = (("classifier", 0.01), (HOSTILE[0], 0.5), ("x" * 200, 1.0))
    sanity = summary_of(CheckedMaps(("a.png",), ("Mass",), (7, 7), blocks, ((0.9,), (None,), (-0.8,))), {})
    told = page_of_pictures(images, found, [("Model", HOSTILE[4])], boxed=True, sanity=sanity)
    page.write_text(told, encoding="utf-8")
    return page


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_page_of_pictures_is_whole_in_any_window_and_loads_the_files_beside_it(browser, explained, width):
    look = browser.look(explained, width)
    assert (look.errors, look.overlaps) == ([], [])
    assert look.sideways <= 0
    assert browser.value("window.ran") is None
    browser.value("document.querySelector('.pictured img').scrollIntoView()")  # those out of sight are not loaded
    decoded = "document.querySelector('.pictured img').decode().then(() => 'decoded')"
    assert browser.value(decoded, wait=True) == "decoded"
    assert browser.value("document.querySelector('.pictured img').naturalWidth") == 1062


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ({}, [True, True, True]),
        ({"finding": "Mass", "verdict": "wrong"}, [False, True, True]),
        ({"verdict": "missed"}, [False, False, True]),
        ({"finding": "Atelectasis", "verdict": "right"}, [False, False, False]),
        ({"finding": HOSTILE[2]}, [False, True, False]),
        ({"place": "0.3"}, [True, False, False]),
        ({"place": "0.5"}, [False, False, False]),
    ],
)
def test_pictures_are_filtered_by_what_one_map_shows(browser, explained, chosen, shown):
    browser.look(explained)
    for name, value in chosen.items():
        browser.value(
            f"(() => {{ const one = document.forms[0].elements[{json.dumps(name)}]; one.value = {json.dumps(value)};"
            "one.dispatchEvent(new Event('change', { bubbles: true })); })()"
        )
    seen = browser.value("[...document.querySelectorAll('.pictured')].map((each) => each.checkVisibility())")
    assert seen == shown
    assert browser.value("document.querySelector('output').textContent") == f"{sum(shown)} of 3 pictures"
