"""JSON files of output folders may have been changed by others: each reader gives a right value or a CxrError."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_spark.augmentation.building import from_json
from cxr_spark.errors import CxrError, DataError, UsageError
from cxr_spark.evaluation.reading.predictions import _about
from cxr_spark.models.tensors import from_bytes
from cxr_spark.outputs.claim import finished_before, write_status
from cxr_spark.outputs.done import read_done
from cxr_spark.outputs.lock import LOCK_NAME, Witness, read_holder
from cxr_spark.outputs.mark import MARK_NAME, Mark, read_mark, read_record
from cxr_spark.outputs.own_files import finished_files, own_files
from cxr_spark.outputs.results import finished_result
from cxr_spark.reporting.provenance import Provenance
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.checkpoints import Checkpoints
from cxr_spark.training.driver.launch import _cause, _may_pass
from cxr_spark.training.job import TrainResult
from cxr_spark.training.rank.failure import FAILURE, read_failure, refuse_to_repeat

SHA = "0" * 64
DONE = {
    "job": "train", "fingerprint": SHA, "inputs": {"data": "d"},
    "summary": {"findings": ["A"], "task": "multi_label", "model": "m", "model_id": SHA, "epoch": 1, "warnings": []},
}  # fmt: skip
MARK = {"format": 2, "job": "train", "state": "done", "complete": True, "files": ["history.json"], "foreign": []}
MANIFEST = {
    "format": 1, "findings": ["A"], "size": 16, "splits": {"train": {"images": 1}},
    "files": [{"name": "data/split=train/part-0.parquet", "bytes": 1, "sha256": SHA}],
}  # fmt: skip
LOCK = {"token": "f" * 32, "where": "w", "pid": 1, "uid": 0, "started": "1", "host": "h", "application": "a"}
FAILED = {"kind": "DataError", "message": "m", "may_pass": False}
ENTRY = {"file": f"step-00000001-{SHA[:16]}.safetensors", "sha256": SHA, "epoch": 0, "global_step": 1}
CHECKPOINTS = {"fingerprint": "f", "roles": {"last": ENTRY["file"]}, "entries": [ENTRY]}


def _finished(store: Store) -> object:
    summary = finished_before(store, "train", {"data": "d"})
    return None if summary is None else finished_result(TrainResult, "train", store.uri, summary)


def _holder_lives(store: Store) -> object:
    holder = read_holder(store)
    return None if holder is None else Witness().is_alive(holder)


def _launcher(store: Store) -> object:
    spec: Any = SimpleNamespace(checkpoints=store)
    return _may_pass(spec, _cause(spec, RuntimeError("x")))


def _last(store: Store) -> object:
    return Checkpoints(store).load()


def _opened(store: Store) -> object:
    data = PreparedDataset.open(store.uri)
    return [data.images("train"), data.files("train"), data.sha256("x"), data.may_share_patients]


#: What reads a file: name of the file, a right value of it, and the readers.
READERS: dict[str, tuple[str, Any, list[Callable[[Store], object]]]] = {
    "done": (
        "_done.json", DONE,
        [
            _finished, read_done, read_mark, lambda s: _about(s.uri), lambda s: Provenance.of(s.uri).is_synthetic(),
            lambda s: Provenance.of(s.uri).model(SHA), lambda s: Provenance.of(s.uri).prepared,
            lambda s: finished_files(s, "train"),
            lambda s: Provenance.of(s.uri_of("part-0.parquet")).warnings,
        ],
    ),
    "mark": (
        MARK_NAME, MARK,
        [read_mark, lambda s: own_files(s, "train"), lambda s: finished_files(s, "train"),
         lambda s: write_status(s, "train", {})],
    ),
    "note": (f"_written/{'0' * 32}.json", ["a", "b"], [lambda s: read_record(s, Mark("train"))]),
    "lock": (LOCK_NAME, LOCK, [_holder_lives, lambda s: write_status(s, "train", {})]),
    "failure": (FAILURE, FAILED, [read_failure, refuse_to_repeat, _launcher]),
    "manifest": ("manifest.json", MANIFEST, [_opened]),
    "checkpoints": ("manifest.json", CHECKPOINTS, [lambda s: Checkpoints(s).manifest(), _last]),
}  # fmt: skip

WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**30), st.floats(), st.text(max_size=5), st.just("../../x"),
    st.just([]), st.just({}), st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none() | st.integers(), max_size=3),
)  # fmt: skip


def _places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [above, *(place for key, item in inner for place in _places(item, (*above, key)))]


def _changed(value: Any, place: tuple[Any, ...], new: Any, drop: bool) -> Any:
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if drop and len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = _changed(copy[place[0]], place[1:], new, drop)
    return copy


@st.composite
def mutants(draw: st.DrawFn, right: Any) -> bytes:
    value = right
    for _ in range(draw(st.integers(1, 2))):
        places = _places(value)
        value = _changed(value, draw(st.sampled_from(places)), draw(WRONG), draw(st.booleans()))
    data = json.dumps(value).encode()
    return draw(st.sampled_from([data, data, data, data, data[: len(data) // 2], data.replace(b'"', b"\xff", 1)]))


def _is_one_line_at_the_most(read: Callable[[], object]) -> None:
    told = ""
    try:
        read()
    except CxrError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 2000


def _read(folder: Path, kind: str, data: bytes) -> None:
    name, _, readers = READERS[kind]
    for reader in readers:
        store = Store(folder.as_uri())
        store.write_bytes("part-0.parquet", b"")
        store.write_bytes(name, data)
        _is_one_line_at_the_most(lambda read=reader, store=store: read(store))


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_value_is_told_or_does_no_harm(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    _read(tmp_path, kind, data.draw(mutants(READERS[kind][1])))


@pytest.mark.parametrize("kind", READERS)
def test_null_in_any_field_and_in_all_is_told_or_does_no_harm(tmp_path: Path, kind: str) -> None:
    right = READERS[kind][1]
    for place in _places(right):
        _read(tmp_path, kind, json.dumps(_changed(right, place, None, False)).encode())
    _read(tmp_path, kind, json.dumps(_all_null(right)).encode())
    _read(tmp_path, kind, json.dumps(dict.fromkeys(right)).encode())


def _all_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_null(item) for key, item in value.items()}
    return [_all_null(item) for item in value] if isinstance(value, list) else None


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "data",
    [
        b"", b"null", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b"NaN", b'{"a": NaN, "job": "train"}',
        b'{"job": "train", "summary": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}",
        b'{"job": "train", "inputs": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}",
        b"9" * 5000,
    ],
    ids=["empty", "null", "list", "number", "utf16", "deep", "nan", "nan_inside", "nested", "nested_more", "digits"],
)  # fmt: skip
def test_a_file_of_another_kind_is_told_or_does_no_harm(tmp_path: Path, kind: str, data: bytes) -> None:
    _read(tmp_path, kind, data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fingerprint": 1}, "fingerprint.*1.*--overwrite"),
        ({"summary": []}, "summary.*--overwrite"),
        ({"inputs": json.loads('{"a":' * 60 + "1" + "}" * 60)}, "inputs.*nested.*--overwrite"),
    ],
)
def test_finished_work_with_a_wrong_mark_is_kept_until_the_user_says_otherwise(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    from cxr_spark.outputs.claim import claim

    store = Store(tmp_path.as_uri())
    with claim(store, "train", {"data": "d"}, overwrite=False) as claimed:
        store.write_bytes("history.json", b"[]")
        claimed.done({})
    done = store.read_json("_done.json")
    store.write_json("_done.json", {**done, **change})
    with pytest.raises(UsageError, match=told), claim(store, "train", {"data": "d"}, overwrite=False):
        pass
    assert store.read_bytes("history.json") == b"[]"


@pytest.mark.parametrize("findings", [None, [], "A", [1], ["A", None], {"A": 1}])
def test_predictions_whose_findings_are_no_names_are_refused(tmp_path: Path, findings: object) -> None:
    store = Store(tmp_path.as_uri())
    store.write_bytes("part-0.parquet", b"")
    store.write_json("_done.json", {"summary": {"findings": findings}})
    with pytest.raises(DataError, match="findings"):
        _about(store.uri)


@settings(max_examples=40)
@given(header=st.recursive(WRONG, lambda inner: st.dictionaries(st.sampled_from(["__metadata__", "a"]), inner)))
def test_notes_of_weights_and_augmentations_of_any_content(header: object) -> None:
    text = json.dumps(header)
    for read in (lambda: from_bytes(len(text).to_bytes(8, "little") + text.encode(), "w"), lambda: from_json(text)):
        _is_one_line_at_the_most(read)
