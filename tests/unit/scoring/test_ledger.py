"""The ledger of nightly scoring: compared with a plain dict, damaged, and at ten million entries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxr_spark.errors import RunError
from cxr_spark.imaging.listing import ImageFile, ImageFiles
from cxr_spark.imaging.rejected import DUPLICATE_NAME, UNREADABLE
from cxr_spark.scoring.incremental import _new
from cxr_spark.scoring.ledger import LEDGER_NAME, Entry, Ledger
from cxr_spark.scoring.plan import NAMINGS
from cxr_spark.storage.store import Store
from tests.support.memory import peak_memory

IMAGES = "hdfs://namenode:8020/hospital/images"
ENTRY = st.builds(
    Entry,
    uri=st.sampled_from([f"file:///i/{d}/{n}.png" for d in "ab" for n in range(4)]),
    size=st.integers(1, 3),
    modified=st.sampled_from([1.0, 2.5]),
    model_id=st.sampled_from(["m1", "m2"]),
    image_index=st.just(""),
    file=st.sampled_from(["part-1-a.parquet", "part-2-a.parquet", "_quarantine/part-1-a.parquet"]),
    reason=st.sampled_from([None, "corrupt", UNREADABLE]),
).map(lambda e: e._replace(image_index=e.uri.rpartition("/")[2]))


def table(store: Store) -> list[Entry]:
    return [Entry(**row) for row in pq.read_table(pa.BufferReader(store.read_bytes(LEDGER_NAME))).to_pylist()]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nights=st.lists(st.lists(ENTRY, max_size=6), max_size=4), listed=st.lists(ENTRY, max_size=6))
def test_it_is_what_a_plain_dict_would_be(tmp_path: Path, nights: list[list[Entry]], listed: list[Entry]) -> None:
    store = Store(str(tmp_path))
    store.delete(LEDGER_NAME)
    truth: dict[tuple[str, str], Entry] = {}
    for night in nights:
        unique = list({(e.uri, e.model_id): e for e in night}.values())
        ledger = Ledger.read(store)
        before = [truth[e.uri, e.model_id] for e in unique if (e.uri, e.model_id) in truth]
        out = ledger.replace(unique)
        assert sorted((e for some in out.values() for e in some), key=str) == sorted(before, key=str)
        assert all(e.file == name for name, some in out.items() for e in some)
        truth |= {(e.uri, e.model_id): e for e in unique}
        ledger.moved({"part-1-a.parquet": "part-1-rest-b.parquet"} if before else {})
        ledger.commit()
        if before:
            fresh = {(e.uri, e.model_id) for e in unique}
            truth = {
                key: e._replace(file="part-1-rest-b.parquet")
                if e.file == "part-1-a.parquet" and key not in fresh
                else e
                for key, e in truth.items()
            }
        assert sorted(table(store), key=str) == sorted(truth.values(), key=str)
        assert len(ledger) == len(Ledger.read(store)) == len(truth)
    files = sorted({e.uri: ImageFile(e.uri, "file:///i", e.size, e.modified, None) for e in listed}.values())
    mine = {uri: e for (uri, model), e in truth.items() if model == "m1"}
    owners = {e.image_index: {o.uri for o in mine.values() if o.reason is None and o.image_index == e.image_index}
              for e in mine.values()}  # fmt: skip
    got = {file.uri: file.problem for file in _new(ImageFiles(files, 0), Ledger.read(store), "m1", NAMINGS["name"])}
    expected = {
        file.uri
        for file in files
        if file.uri not in mine
        or (mine[file.uri].size, mine[file.uri].modified) != (file.size, file.modified)
        or mine[file.uri].reason == UNREADABLE
    }
    assert set(got) == expected
    for uri, problem in got.items():
        others = owners.get(uri.rpartition("/")[2], set())
        if not others or others == {uri}:
            assert problem is None
        elif uri not in others:
            assert problem == DUPLICATE_NAME


def test_images_set_aside_for_their_names_are_told_every_night(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.read(Store(str(tmp_path)))
    files = [ImageFile(f"file:///i/study{i}/IMG0001.png", "file:///i", 1, 0.0, None) for i in (1, 2)]
    entered = [
        Entry(file.uri, 1, 0.0, "m1", "IMG0001.png", name, reason)
        for file, name, reason in zip(
            files, ("part-0-a.parquet", "_quarantine/part-names-a.parquet"), (None, DUPLICATE_NAME), strict=True
        )
    ]
    ledger.replace(entered)
    ledger.commit()
    for _ in range(2):
        caplog.clear()
        assert _new(ImageFiles(files, 0), ledger, "m1", NAMINGS["name"]) == []
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warning.startswith("1 of 2 images are still not scored")
        assert "study2/IMG0001.png" in warning
        assert "--image-index path" in warning


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", b"PAR1" + b"\0" * 20 + b"PAR1"])
def test_a_damaged_one_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEDGER_NAME).write_bytes(content)
    with pytest.raises(RunError, match=r"_ledger\.parquet is damaged.*score into a new --out"):
        Ledger.read(Store(str(tmp_path)))


@pytest.mark.parametrize("name", ["../../x.parquet", "/etc/passwd", "notes.txt", "a/part-1.parquet", ""])
def test_files_that_are_not_its_own_are_refused(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path))
    ledger = Ledger(store)
    ledger.replace([Entry("u", 1, 1.0, "m", "i", "part-1-a.parquet", None)])
    ledger.commit()
    rows = pq.read_table(tmp_path / LEDGER_NAME)
    pq.write_table(rows.set_column(5, rows.schema.field("file"), pa.array([name])), tmp_path / LEDGER_NAME)
    with pytest.raises(RunError, match="which no score job writes"):
        Ledger.read(store)


def test_other_columns_are_one_clear_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"file": ["part-1-a.parquet"], "uri": [3]}), tmp_path / LEDGER_NAME)
    with pytest.raises(RunError, match="its columns are file, uri"):
        Ledger.read(Store(str(tmp_path)))


@pytest.mark.parametrize("lacking", [[name] for name in Entry._fields[:-1]] + [list(Entry._fields)])
def test_rows_without_a_value_are_one_clear_error(tmp_path: Path, lacking: list[str]) -> None:
    right = Entry("file:///i/a.png", 1, 1.0, "m", "a.png", "part-1-a.parquet", None)._asdict()
    schema = pa.schema([pa.field(field.name, field.type) for field in pq.read_schema(_written(tmp_path, [right]))])
    rows = [right | dict.fromkeys(lacking), right | {"uri": "file:///i/b.png"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / LEDGER_NAME)
    with pytest.raises(RunError, match=r"_ledger\.parquet is damaged \(it (has rows without|names None).*new --out"):
        Ledger.read(Store(str(tmp_path)))


def test_a_ledger_that_another_program_wrote_anew_is_read(tmp_path: Path) -> None:
    right = Entry("file:///i/a.png", 1, 1.0, "m", "a.png", "part-1-a.parquet", None)
    rows = pq.read_table(_written(tmp_path, [right._asdict()]))
    nullable = pa.schema([pa.field(field.name, field.type) for field in rows.schema])  # as Spark writes all columns
    pq.write_table(rows.cast(nullable), tmp_path / LEDGER_NAME)
    ledger = Ledger.read(Store(str(tmp_path)))
    files = [ImageFile(f"file:///i/{name}.png", "file:///i", 1, 1.0, None) for name in "ab"]
    new = _new(ImageFiles(files, 0), ledger, "m", NAMINGS["name"])
    assert [file.uri for file in new] == ["file:///i/b.png"]
    ledger.replace([right._replace(uri=file.uri, image_index="b.png") for file in new])
    ledger.commit()
    assert [entry.image_index for entry in table(Store(str(tmp_path)))] == ["a.png", "b.png"]


def _written(folder: Path, rows: list[dict[str, object]]) -> Path:
    ledger = Ledger(Store(str(folder)))
    ledger.replace([Entry(**row) for row in rows])  # type: ignore[arg-type]
    ledger.commit()
    return folder / LEDGER_NAME


def test_a_million_entries_take_little(tmp_path: Path) -> None:
    """The run of ten million is the same program: `python -m tests.unit.scoring.test_ledger 10000000 FOLDER`."""
    command = [sys.executable, "-m", "tests.unit.scoring.test_ledger", "300000", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    megabytes = float(done.stdout.split()[0])
    assert megabytes < 300, done.stdout


def _large(entries: int, folder: str) -> None:
    """Prints the memory (MB) and the seconds that a night with 1,000 new images takes beyond the scoring itself."""
    import time

    store = Store(folder)
    schema = pq.read_schema(pa.BufferReader(Ledger(store)._data))
    with pq.ParquetWriter(f"{folder}/{LEDGER_NAME}", schema, compression="zstd") as writer:
        for start in range(0, entries, 100_000):
            ids = np.arange(start, min(entries, start + 100_000))
            columns = {
                "uri": [f"{IMAGES}/2026/{i % 365:03d}/study-{i // 4:09d}/{i:09d}.dcm" for i in ids],
                "size": ids, "modified": ids * 1.5, "model_id": ["a" * 64] * len(ids),
                "image_index": [f"{i:09d}.dcm" for i in ids],
                "file": [f"part-{i // 512:05d}-20260101T000000Z-abcdef01.parquet" for i in ids],
                "reason": pa.nulls(len(ids), pa.string()),
            }  # fmt: skip
            writer.write_table(pa.table(columns, schema=schema))
    before = peak_memory()
    started, worked = time.monotonic(), time.process_time()
    ledger = Ledger.read(store)
    files = [ImageFile(f"{IMAGES}/new/{i}.dcm", f"{IMAGES}/new", 5, 1.0, None) for i in range(1000)]
    new = _new(ImageFiles(files, 0), ledger, "a" * 64, NAMINGS["name"])
    assert len(new) == 1000
    ledger.replace([Entry(f.uri, f.size, f.modified, "a" * 64, "x", "part-1-x.parquet", None) for f in new])
    ledger.moved({})
    ledger.commit()
    seconds, worked = time.monotonic() - started, time.process_time() - worked
    after = peak_memory()
    print(f"{(after - before) / 2**20:.0f} MB {seconds:.1f} s ({worked:.1f} s of CPU), in all {after / 2**20:.0f} MB")


if __name__ == "__main__":
    _large(int(sys.argv[1]), sys.argv[2])
