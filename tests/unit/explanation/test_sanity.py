"""What the sanity check of maps tells: of how many images, when it warns, and where it judges nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from cxr_spark.explanation.page import render
from cxr_spark.explanation.sanity import CheckedMaps, in_words, summary_of
from cxr_spark.explanation.summary import localization


def summary(correlations: list[float | None], side: int = 7) -> dict:
    names = tuple(f"{i}.png" for i in range(len(correlations)))
    findings = ("Mass",) * len(names)
    return summary_of(CheckedMaps(names, findings, (side, side), (("fc", 1.0),), (tuple(correlations),)), {})


def page(told: dict) -> str:
    text = render([], localization([], None, None, {"warnings": []}), [], boxed=False, sanity=told)
    return " ".join(text.split())


def test_the_number_of_images_with_ranks_stands_beside_the_mean_and_in_the_warning() -> None:
    told = summary([0.9, None, -0.9, 0.8, 0.8, 0.8, None, 0.6])
    assert "the correlation is 0.80 in the mean over 6 images" in in_words(told)
    assert "those of 6 images still correlate by 0.80" in told["warning"]


@pytest.mark.parametrize(("known", "warned"), [(1, False), (4, False), (5, True), (16, True)])
def test_too_few_maps_are_told_and_not_warned_by(known: int, warned: bool) -> None:
    told = summary([0.95] * known + [None] * 20)
    assert (told["warning"] is not None) == warned
    assert ("too few maps to judge by: expected 5 at least" in in_words(told)) == (not warned)
    assert ("over 1 image." in in_words(told)) == (known == 1)


@pytest.mark.parametrize(("side", "limit"), [(7, 0.5), (4, 0.5), (3, 0.5642), (2, 0.9213)])
def test_the_page_tells_the_limit_that_is_used(side: int, limit: float) -> None:
    """The limit by hand: 0.5, or 2 sqrt(2 / (pi (cells - 1))) where that is more."""
    for mean, warned in ((limit - 0.01, False), (limit + 0.01, True)):
        told = summary([mean] * 5, side)
        assert told["limit"] == pytest.approx(limit, abs=1e-4)
        assert (told["warning"] is not None) == warned
        assert f"beyond the dashed line, at {limit:.2f}, in the last row" in page(told)
        assert f'd="M{100 * told["limit"]:.2f},0V10"' in page(told)
    assert f"more than {limit:.2f} is too much" in told["warning"]


def test_maps_of_one_cell_or_two_have_no_limit_and_no_line() -> None:
    two = summary_of(CheckedMaps(("a",) * 5, ("Mass",) * 5, (1, 2), (("fc", 1.0),), ((1.0,) * 5,)), {})
    for told in (two, summary([None] * 5, 1)):
        assert told["limit"] is None
        assert told["warning"] is None
        assert "maps of so few cells are not warned of" in page(told)
        assert 'class="mark"' not in page(told)


def test_maps_that_cannot_be_compared_may_be_the_same_everywhere_or_not_finite() -> None:
    told = summary([None] * 6)
    assert "the same everywhere or holds what is no finite number" in in_words(told)
    assert "finite and not the same everywhere" in page(told)


def test_smooth_maps_that_have_nothing_in_common_give_more_than_the_level_told_and_the_page_says_so() -> None:
    """Maps of 7 x 7 cells, each cell the mean of 3 x 3 random ones: SciPy's correlations of independent pairs."""
    draw = np.random.default_rng(4)
    noise = draw.normal(size=(2, 1000, 9, 9))
    smooth = sum(noise[..., i : i + 7, j : j + 7] for i in range(3) for j in range(3)).reshape(2, 1000, 49)
    mean = np.mean([abs(spearmanr(*pair).statistic) for pair in zip(*smooth, strict=True)])
    told = summary([0.1] * 5)
    assert mean > 1.5 * told["by_chance"]
    assert "neighbouring cells are alike in all maps, so that maps that have nothing in common give more" in page(told)
