"""The mark of finished work: what it holds, and which runs it ends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cxr_spark.errors import UsageError
from cxr_spark.outputs.claim import claim, digest, finished_before
from cxr_spark.storage.json_values import as_json
from cxr_spark.storage.store import Store
from tests.support.claims import SETTINGS, tree, work
from tests.support.stores import folder_of


def test_finished_work_is_recognised_and_left_alone(store: Store) -> None:
    assert work(store) == "worked on []"
    before = tree(folder_of(store))
    assert work(store) == "finished {'images': 3}"
    assert work(store, settings=dict(reversed(SETTINGS.items()))) == "finished {'images': 3}"
    assert tree(folder_of(store)) == before
    assert store.names() == ["_cxr_spark.json", "_done.json", "data"]  # no lock stays


def test_finished_work_is_known_without_a_lock(store: Store) -> None:
    assert finished_before(store, "prepare", SETTINGS) is None
    assert not store.exists()
    work(store)
    with claim(store, "prepare", SETTINGS, False):
        assert finished_before(store, "prepare", SETTINGS) == {"images": 3}
    assert finished_before(store, "prepare", {**SETTINGS, "size": 64}) is None
    assert finished_before(store, "train", SETTINGS) is None


def test_done_tells_what_was_done(store: Store) -> None:
    work(store)
    done = json.loads((folder_of(store) / "_done.json").read_bytes())
    assert done["job"] == "prepare"
    assert done["inputs"] == SETTINGS
    assert done["summary"] == {"images": 3}


def test_other_settings_are_refused_with_what_differs(store: Store) -> None:
    work(store)
    before = tree(folder_of(store))
    with pytest.raises(UsageError) as caught:
        work(store, settings={**SETTINGS, "size": 64, "model": {"name": "vgg16"}})
    message = str(caught.value)
    assert "size was 224, is 64" in message
    assert 'model.name was "resnet50", is "vgg16"' in message
    assert "--overwrite" in message
    assert "images was" not in message
    assert tree(folder_of(store)) == before


def test_overwrite_begins_anew(store: Store) -> None:
    work(store)
    (folder_of(store) / "stray").mkdir()
    assert work(store, settings={**SETTINGS, "size": 64}, overwrite=True) == "worked on []"
    assert work(store, settings={**SETTINGS, "size": 64}) == "finished {'images': 3}"
    assert store.names() == ["_cxr_spark.json", "_done.json", "data"]


def test_damaged_sign_of_finished_work_counts_as_unfinished(store: Store) -> None:
    work(store)
    for damaged in (b"", b'{"job": "prepare", "finger', b"[]", b'{"job": "prepare", "fingerprint": 1}'):
        store.write_bytes("_done.json", damaged)
        if damaged.endswith(b"1}"):
            with pytest.raises(UsageError, match="other settings"):
                work(store)
            assert work(store, overwrite=True) == "worked on []"
        else:
            assert work(store) == "worked on ['data']"


def test_fingerprints_do_not_depend_on_order_or_kind_of_container() -> None:
    assert digest({"a": 1, "b": (1, 2), "c": {"x", "y"}}) == digest({"c": ["x", "y"], "b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_summaries_are_json_whatever_the_numbers(store: Store) -> None:
    summary = {
        "auc": float("nan"), "loss": np.float32("inf"), "n": np.int64(3), "rate": np.float64(0.5),
        "list": np.array([1.0, np.nan]), "path": Path("/x"), 3: {"b", "a"}, "flag": True, "none": None,
    }  # fmt: skip
    with claim(store, "evaluate", SETTINGS, False) as claimed:
        claimed.done(summary)
    expected = {
        "auc": None, "loss": None, "n": 3, "rate": 0.5, "list": [1.0, None], "path": "/x", "3": ["a", "b"],
        "flag": True, "none": None,
    }  # fmt: skip
    assert json.loads((folder_of(store) / "_done.json").read_text())["summary"] == expected
    assert as_json(summary) == expected
