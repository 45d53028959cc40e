"""Prepared datasets as training and scoring open them: whole, damaged, or something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxr_spark.errors import DataError
from cxr_spark.tables.prepared import FORMAT, PreparedDataset

MANIFEST: dict[str, Any] = {
    "format": FORMAT,
    "findings": ["Effusion", "No Finding"],
    "size": 64,
    "splits": {"train": {"images": 3}, "val": {"images": 0}, "test": {"images": 2}},
    "files": [
        {"name": "data/split=train/part-0.parquet", "bytes": 4},
        {"name": "data/split=train/part-1.parquet", "bytes": 5},
        {"name": "data/split=test/part-2.parquet", "bytes": 6},
        {"name": "quarantine/part-3.parquet", "bytes": 7},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, MANIFEST)
    for file in MANIFEST["files"]:
        path = tmp_path / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * file["bytes"])
    return tmp_path


def write(folder: Path, manifest: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_whole_one(folder: Path) -> None:
    dataset = PreparedDataset.open(str(folder))
    assert (dataset.findings, dataset.size) == (("Effusion", "No Finding"), 64)
    assert [dataset.images(split) for split in ("train", "val", "test")] == [3, 0, 2]
    assert dataset.files("train") == ["data/split=train/part-0.parquet", "data/split=train/part-1.parquet"]
    assert dataset.files("val") == []
    assert dataset.files("test") == ["data/split=test/part-2.parquet"]
    with pytest.raises(DataError, match="unknown split 'dev'"):
        dataset.files("dev")


def test_files_that_the_manifest_does_not_name_do_not_count(folder: Path) -> None:
    (folder / "data/split=train/part-9.parquet").write_bytes(b"of a killed run")
    (folder / "data/split=val").mkdir()
    (folder / "data/split=val/part-9.parquet").write_bytes(b"of a killed run")
    dataset = PreparedDataset.open(str(folder))
    assert len(dataset.files("train")) == 2
    assert dataset.files("val") == []


def test_a_lost_or_cut_file_is_told(folder: Path) -> None:
    dataset = PreparedDataset.open(str(folder))
    (folder / "data/split=train/part-1.parquet").write_bytes(b"x")
    with pytest.raises(DataError, match=r"part-1\.parquet is damaged: prepare the data again"):
        dataset.files("train")
    (folder / "data/split=test/part-2.parquet").unlink()
    with pytest.raises(DataError, match=r"part-2\.parquet is gone"):
        dataset.files("test")


def test_without_a_list_all_visible_files_count(folder: Path) -> None:
    write(folder, {key: value for key, value in MANIFEST.items() if key != "files"})
    for name in ("_SUCCESS", ".part-8.parquet.crc", ".part-7.parquet", "_temporary/0/part-6.parquet", "notes.txt"):
        path = folder / "data/split=train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    dataset = PreparedDataset.open(str(folder))
    assert dataset.files("train") == ["data/split=train/part-0.parquet", "data/split=train/part-1.parquet"]
    (folder / "data/split=test/part-2.parquet").unlink()
    with pytest.raises(DataError, match="lost the files of split 'test'"):
        dataset.files("test")


def test_an_unfinished_one_is_refused(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match="not a finished prepared dataset"):
        PreparedDataset.open(str(folder))
    with pytest.raises(DataError, match="not a finished prepared dataset"):
        PreparedDataset.open(str(folder / "nothing"))


@pytest.mark.parametrize(
    "change",
    [
        {"findings": "Effusion"}, {"findings": []}, {"findings": [1]}, {"findings": None}, {"size": "64"}, {"size": 0},
        {"size": True}, {"size": None}, {"splits": {}}, {"splits": []}, {"splits": {"train": 3}},
        {"splits": {"train": {"images": "3"}}}, {"splits": {"train": {"images": -1}}}, {"format": 2}, {"format": "1"},
    ],
)  # fmt: skip
def test_other_json_is_refused(folder: Path, change: dict[str, Any]) -> None:
    write(folder, {**MANIFEST, **change})
    with pytest.raises(DataError, match=r"manifest\.json.*(expected|splits|format)"):
        PreparedDataset.open(str(folder))


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(DataError, match=r"manifest\.json is not"):
        PreparedDataset.open(str(folder))


def test_the_prepare_job_writes_this_format() -> None:
    from cxr_spark.preparation import manifest

    assert manifest.FORMAT == FORMAT
