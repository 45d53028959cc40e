"""Which files of a folder are the table of predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.errors import DataError
from cxr_spark.evaluation.reading.tables import data_files
from cxr_spark.outputs.claim import claim
from cxr_spark.storage.store import Store

SCORED = "part-00000-0123456789ab.parquet"


def names(folder: Path) -> list[str]:
    return [file.name for file in data_files(folder.as_uri())]


def test_files_that_the_score_job_did_not_write_are_no_predictions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(str(tmp_path))
    with claim(store, "score", {}, False) as claimed:
        store.write_bytes(SCORED, b"PAR1")
        claimed.done({})
    assert names(tmp_path) == [SCORED]
    assert "left out" not in caplog.text
    for foreign in ("other_model.parquet", "part-00001-ba9876543210.parquet", "notes.csv", "more/part-0.parquet"):
        store.write_bytes(foreign, b"PAR1")
    assert names(tmp_path) == [SCORED]
    assert "left out 4 files that the score job did not write: more/part-0.parquet, notes.csv" in caplog.text


def test_folders_of_other_tools_are_read_whole(tmp_path: Path) -> None:
    for name in ("a.parquet", "deep/b.parquet", "_SUCCESS", ".c.crc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"PAR1")
    assert names(tmp_path) == ["a.parquet", "deep/b.parquet"]
    (tmp_path / "_cxr_spark.json").write_text("not JSON")
    assert names(tmp_path) == ["a.parquet", "deep/b.parquet"]
    with pytest.raises(DataError, match="no such file"):
        data_files((tmp_path / "nothing").as_uri())
