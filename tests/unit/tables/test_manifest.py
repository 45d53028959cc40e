"""Manifests of prepared data that are damaged, hostile or out of reach."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_spark.errors import CxrError, DataError, RunError
from cxr_spark.tables.prepared import PreparedDataset
from tests.support.storage_faults import FAULTS, break_reads


@pytest.mark.parametrize("fault", FAULTS)
def test_a_manifest_that_the_storage_does_not_give_is_no_damage(
    folder: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_reads(monkeypatch, FAULTS[fault], lambda path: path.endswith(".json"))
    with pytest.raises(RunError, match="cannot read"):
        PreparedDataset.open(str(folder))


@pytest.mark.parametrize("name", ["../x.parquet", "/etc/passwd", "data/../../x", "", "a//b", "a\nb", "data/./x"])
def test_names_that_leave_the_folder_are_refused(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][0]["name"] = name
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="below this folder"):
        PreparedDataset.open(str(folder))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.dictionaries(st.sampled_from(["format", "findings", "size", "splits", "files"]), JSON, min_size=1))
def test_any_other_manifest_is_a_right_value_or_one_clear_error(folder: Path, change: dict[str, object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    target = folder / "other"
    target.mkdir(exist_ok=True)
    (target / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with contextlib.suppress(CxrError):
        dataset = PreparedDataset.open(str(target))
        assert 1 <= dataset.size <= 16_384
        for split in ("train", "val", "test"):
            dataset.images(split)
            dataset.files(split)
