"""Metadata of models and notes of weights that were made to harm: one clear error each."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cxr_spark.errors import CxrError, DataError
from cxr_spark.models.folder import load_model
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.models.weights import Weights, WeightsHeader
from cxr_spark.storage.store import Store
from tests.support.hostile_models import JSON, QUIET, cheap
from tests.support.small_model import write_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("models") / "model"
    write_model(where)
    return where


def changed(folder: Path, change: dict[str, Any]) -> Store:
    target = folder.with_name("changed")
    target.mkdir(exist_ok=True)
    metadata = json.loads((folder / "metadata.json").read_text())
    (target / "metadata.json").write_text(json.dumps({**metadata, **change}))
    (target / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    return Store(str(target))


@pytest.mark.parametrize(
    "change",
    [
        {"build": {"hidden": [10**12]}}, {"build": {"hidden": [10**30]}}, {"build": {"hidden": [4] * 100_000}},
        {"findings": 7}, {"findings": None}, {"findings": [], "n_outputs": 0}, {"n_outputs": 10**30},
        {"findings": 7, "n_outputs": 7}, {"build": {"batch_norm_epsilon": 10**30}},
        {"preprocessing": {"input_size": 10**12, "stored_size": 1}}, {"architecture": 5}, {"format_version": 2},
    ],
    ids=lambda change: str(change)[:40],
)  # fmt: skip
def test_metadata_beyond_measure_are_refused(folder: Path, change: dict[str, Any]) -> None:
    if "findings" in change and "n_outputs" not in change:
        metadata = json.loads((folder / "metadata.json").read_text())
        del metadata["n_outputs"]
        store = changed(folder, change)
        Path(store.uri.removeprefix("file://"), "metadata.json").write_text(json.dumps({**metadata, **change}))
    else:
        store = changed(folder, change)
    with cheap(), pytest.raises(DataError, match=r"metadata\.json is no model's metadata"):
        load_model(store)


def test_null_in_any_field_and_in_all_is_a_right_value_or_one_clear_error(folder: Path) -> None:
    right = json.loads((folder / "metadata.json").read_text())
    inner = [
        {name: {**right[name], key: None}} for name in right if isinstance(right[name], dict) for key in right[name]
    ]
    seen, told = set(), []
    for change in [*({name: None} for name in right), *inner, dict.fromkeys(right)]:
        try:
            seen.add(load_model(changed(folder, change)).metadata.n_outputs)
        except CxrError as error:
            told.append(str(error))
    assert seen == {right["n_outputs"]}
    assert told
    assert all("metadata.json is no model's metadata" in line and "\n" not in line for line in told)


@QUIET
@given(
    change=st.dictionaries(
        st.sampled_from(["architecture", "findings", "n_outputs", "task", "preprocessing", "build", "metrics"]),
        JSON,
        min_size=1,
    )
)
def test_any_other_metadata_are_a_right_value_or_one_clear_error(folder: Path, change: dict[str, Any]) -> None:
    with contextlib.suppress(CxrError):
        metadata = load_metadata(changed(folder, change))
        assert len(metadata.findings) == metadata.n_outputs


@pytest.mark.parametrize("change", [{"n_outputs": 10**30}, {"hidden": [10**12]}, {"hidden": [1] * 100_000}])
def test_notes_of_weights_beyond_measure_are_refused(change: dict[str, Any]) -> None:
    from cxr_spark.models import tensors

    header = WeightsHeader(
        architecture="efficientnet_b0", n_outputs=3, source="x", source_kind="model", source_sha256="0" * 64
    )
    note = json.dumps({**header.model_dump(mode="json"), **change})
    data = tensors.to_bytes({"x": torch.zeros(1)}, note)
    with cheap(), pytest.raises(DataError, match="its header is damaged"):
        Weights.from_bytes(data, "w.safetensors")


@QUIET
@given(note=st.text(max_size=20) | JSON.map(json.dumps))
def test_any_other_note_is_one_clear_error(note: str) -> None:
    from cxr_spark.models import tensors

    with pytest.raises(CxrError):
        Weights.from_bytes(tensors.to_bytes({"x": torch.zeros(1)}, note), "w.safetensors")
