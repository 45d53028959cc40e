"""The small curves of a report in a real browser: what they tell where one points, against scikit-learn's counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, precision_score, roc_curve

import cxr_spark
from tests.integration.test_browser import FINDINGS, WIDTHS, evaluation
from tests.support.browser import CHROMIUM, Browser, chromium

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install the package chromium")
#: The findings of the predictions, and the part of the images that has each.
FREQUENT = {"Mass": 0.3, "Pleural_Thickening": 0.1, "Edema": 0.02}
IMAGES = 900
MICRO = "micro (pooled)"
#: Points of the page keep at most this distance to those that it leaves out: one cell of a hundred in both directions.
CELL = np.hypot(0.01, 0.01)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def raw() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Labels and scores of each finding, and of all pairs; the page's three digits give a score with all its digits."""
    rng = np.random.default_rng(11)
    made = {}
    for name, share in FREQUENT.items():
        truth = rng.random(IMAGES) < share
        made[name] = truth, np.round(1 / (1 + np.exp(-rng.normal(size=IMAGES) - 1.5 * truth + 1)), 2)
    made[MICRO] = tuple(np.concatenate(each) for each in zip(*made.values(), strict=True))
    return made


@pytest.fixture(scope="module")
def report(raw, tmp_path_factory) -> Path:
    """The report on the predictions of another tool."""
    folder = tmp_path_factory.mktemp("evaluated")
    images = [f"{i}.png" for i in range(IMAGES)]
    scores = {f"prob_{name}": raw[name][1] for name in FREQUENT}
    pd.DataFrame({"Image Index": images, **scores}).to_csv(folder / "scores.csv", index=False)
    present = ["|".join(name for name in FREQUENT if raw[name][0][i]) or "No Finding" for i in range(IMAGES)]
    facts = {"Patient ID": range(IMAGES), "Patient Age": 50, "Patient Gender": "M", "View Position": "PA"}
    pd.DataFrame({"Image Index": images, "Finding Labels": present, **facts}).to_csv(folder / "labels.csv", index=False)
    cxr_spark.evaluate(
        predictions=str(folder / "scores.csv"), labels=str(folder / "labels.csv"), out=str(folder / "out"), replicates=0
    )
    return folder / "out" / "report.html"


def curve_of(kind: str, name: str) -> str:
    """The expression of a finding's picture; kind is `roc` or `recall`."""
    return (
        f"[...document.querySelectorAll('.panel[data-curve={kind}]')].find((each) => "
        f"each.querySelector('b').textContent === {json.dumps(name.replace('_', ' '))}).querySelector('svg')"
    )


def place(browser: Browser, kind: str, name: str, x: float, y: float) -> tuple[float, float]:
    """Scrolls to a curve, and returns where in the window a point of its unit square is, y upwards."""
    return tuple(
        browser.value(
            f"(() => {{ const picture = {curve_of(kind, name)}; picture.scrollIntoView({{ block: 'center' }});"
            "const frame = picture.querySelector('.frame').getBoundingClientRect();"
            f"return [frame.left + {x} * frame.width, frame.bottom - {y} * frame.height]; }})()"
        )
    )


def told(browser: Browser) -> dict[str, str] | None:
    """What the box beside the curve says, by the words before each number; None where it is not seen."""
    if not browser.value("document.querySelector('.reading').checkVisibility()"):
        return None
    lines = browser.value(
        "[...document.querySelectorAll('.reading [data-value]')].filter((each) => each.checkVisibility()).map("
        "(each) => [each.dataset.value === 'name' ? 'name' : each.parentElement.firstChild.textContent.trim(),"
        "each.textContent])"
    )
    return dict(lines)


def counted(truth: np.ndarray, scores: np.ndarray, threshold: float) -> dict[str, str]:
    """What scikit-learn counts where scores from a threshold on are called present, as the page writes it."""
    called = scores >= threshold
    (absent, alarms), (missed, hits) = confusion_matrix(truth, called)
    negative_value = precision_score(~truth, ~called, zero_division=np.nan)
    return {
        "Sensitivity": f"{hits / truth.sum():.3f}",
        "Specificity": f"{absent / (~truth).sum():.3f}",
        "PPV": f"{precision_score(truth, called):.3f}",
        "NPV": "none" if np.isnan(negative_value) else f"{negative_value:.3f}",
        "True positives": f"{hits:,}",
        "False positives": f"{alarms:,}",
        "True negatives": f"{absent:,}",
        "False negatives": f"{missed:,}",
    }


def distances(kind: str, truth, scores, x: float, y: float) -> dict[float, float]:
    """How far each threshold's point of a curve is from a point of the unit square."""
    false, true, thresholds = (each[1:] for each in roc_curve(truth, scores, drop_intermediate=False))
    hits = true * truth.sum()
    across, up = (false, true) if kind == "roc" else (true, hits / (hits + false * (~truth).sum()))
    return dict(zip(thresholds.tolist(), np.hypot(across - x, up - y).tolist(), strict=True))


@pytest.mark.parametrize("name", [*FREQUENT, MICRO])
@pytest.mark.parametrize("kind", ["roc", "recall"])
def test_the_mouse_reads_the_nearest_operating_point_with_sklearns_counts(browser, report, raw, kind, name):
    assert browser.look(report).errors == []
    truth, scores = raw[name]
    seen = set()
    for x, y in ((0.02, 0.1), (0.1, 0.6), (0.4, 0.5), (0.6, 0.95), (0.99, 0.01)):
        browser.point(*place(browser, kind, name, x, y))
        said = told(browser)
        assert said is not None
        assert said.pop("name") == name.replace("_", " ")
        threshold = float(said.pop("threshold"))
        assert said == counted(truth, scores, threshold)
        away = distances(kind, truth, scores, x, y)
        assert away[threshold] <= min(away.values()) + CELL
        seen.add(threshold)
    assert len(seen) >= 3
    browser.point(1, 1)
    assert told(browser) is None


def test_the_mean_of_curves_tells_no_threshold_but_where_it_is(browser, report, raw):
    browser.look(report)
    curves = [roc_curve(*raw[name], drop_intermediate=False) for name in FREQUENT]
    for x, y in ((0.1, 0.5), (0.5, 0.9)):
        browser.point(*place(browser, "roc", "macro (mean)", x, y))
        said = told(browser)
        assert said.keys() == {"name", "Sensitivity", "Specificity"}
        false = 1 - float(said["Specificity"])
        mean = np.mean([np.interp(false, across, up) for across, up, _ in curves])
        assert float(said["Sensitivity"]) == pytest.approx(mean, abs=0.001)


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_tap_shows_the_box_within_the_window_and_beside_the_curve_until_another_tap(browser, report, raw, width):
    browser.look(report, width)
    for name in (*FREQUENT, MICRO, "macro (mean)"):
        browser.tap(*place(browser, "roc", name, 0.2, 0.7))
        said = told(browser)
        assert said["name"] == name.replace("_", " ")
        if "threshold" in said:
            assert said["True positives"] == counted(*raw[name], float(said["threshold"]))["True positives"]
        box, curve = (
            browser.value(
                f"(() => {{ const r = {one}.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom] }})()"
            )
            for one in ("document.querySelector('.reading')", curve_of("roc", name))
        )
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= 900
        assert box[3] <= curve[1] or box[1] >= curve[3]
        assert browser.value("document.documentElement.scrollWidth") <= width
    heading = "document.querySelector('h1')"
    browser.value(f"{heading}.scrollIntoView()")
    browser.tap(
        *browser.value(f"(() => {{ const r = {heading}.getBoundingClientRect(); return [r.left + 5, r.top + 5]; }})()")
    )
    assert told(browser) is None


def test_the_keyboard_reaches_a_curve_and_moves_along_it(browser, report, raw):
    browser.look(report)
    name = "Pleural_Thickening"
    for _ in range(100):
        browser.press("Tab")
        if browser.value(f"document.activeElement === {curve_of('recall', name)}"):
            break
    truth, scores = raw[name]
    decided = float(told(browser)["threshold"])
    assert decided == min(score for score in scores if score >= 0.5)  # the threshold of the decisions is 0.5
    found = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        browser.press(key)
        said = told(browser)
        found.append(float(said["threshold"]))
        assert counted(truth, scores, found[-1]).items() <= said.items()
        value = browser.value("document.activeElement.getAttribute('aria-valuetext')")
        assert value.startswith(f"threshold {said['threshold']}, sensitivity {said['Sensitivity']}, ")
    first, second, third, back, last = found
    assert (first, last) == (scores.max(), scores.min())
    assert first > second > third > last
    assert back == second
    browser.press("Escape")
    assert told(browser) is None


def luminance(colour: str) -> float:
    """The relative luminance of a colour (WCAG 2.1)."""
    parts = np.array([float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]) / 255
    return float(np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_box_can_be_read_in_light_and_dark_and_is_not_printed(browser, report, dark):
    browser.look(report, dark=dark)
    browser.tap(*place(browser, "roc", "Mass", 0.2, 0.7))
    paper = browser.value("getComputedStyle(document.querySelector('.reading')).backgroundColor")
    assert (luminance(paper) < 0.1) == dark
    for part in ("dd", "dt", "b"):
        ink = browser.value(f"getComputedStyle(document.querySelector('.reading {part}')).color")
        low, high = sorted((luminance(paper), luminance(ink)))
        assert (high + 0.05) / (low + 0.05) >= 4.5
    seen = "['.reading', '.panels .dot', '.pointing'].map((each) => document.querySelector(each).checkVisibility())"
    assert browser.value(seen) == [True, True, True]
    browser.lay_out_for_print()
    assert browser.value(seen) == [False, False, False]


def test_the_box_takes_hostile_names_for_text(browser, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(evaluation(FINDINGS), encoding="utf-8")
    assert browser.look(page, 400).errors == []
    for name in FINDINGS:
        browser.tap(*place(browser, "recall", name, 0.5, 0.5))
        said = told(browser)
        assert said["name"] == name.replace("_", " ")
        assert (said["threshold"], said["True positives"], said["False positives"]) == ("0.750", "20", "15")
        assert browser.value("document.documentElement.scrollWidth") <= 400
    assert browser.value("window.ran") is None
