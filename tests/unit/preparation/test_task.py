"""What one task writes, read back with pyarrow; no Spark."""

import hashlib
import json
import resource

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import RunError
from cxr_spark.imaging.decode import decode_grey
from cxr_spark.imaging.dicom.gate import DicomGate
from cxr_spark.preparation.plan import PART_COLUMNS, Part
from cxr_spark.preparation.task import SPARK_SCHEMA_KEY, PartWriter
from cxr_spark.tables.schema import PREPARED
from tests.support.capabilities import permissions_hold
from tests.support.dicom_files import dicom_bytes

RNG = np.random.default_rng(5)


def png(height=40, width=30):
    return cv2.imencode(".png", RNG.integers(0, 256, (height, width), dtype=np.uint8))[1].tobytes()


def make_part(folder, contents, split="train"):
    rows = []
    for i, (name, content) in enumerate(contents.items()):
        (folder / name).write_bytes(content)
        rows.append(
            {
                "image_index": name,
                "patient_id": str(i // 2) if i else None,
                "view_position": "PA",
                "sex": None,
                "age": 31.5,
                "labels": [1.0, float("nan"), float(i % 2)],
                "uri": f"file://{folder}/{name}",
                "size": len(content),
            }
        )
    return Part(3, split, pa.Table.from_pylist(rows, schema=PART_COLUMNS))


def writer(out, size=32):
    return PartWriter(f"file://{out}", size, "squash", json.dumps({"type": "struct", "fields": []}))


def test_data_file(tmp_path):
    contents = {f"{i:02d} ü%20.png": png() for i in range(5)}
    part = make_part(tmp_path, contents)
    (written,) = writer(tmp_path / "out").write(part)
    file = tmp_path / "out" / written.name
    assert file.parent.name == "split=train"
    assert (written.rows, written.bytes) == (5, file.stat().st_size)
    assert written.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert written.positives == (5, 0, 2)  # a masked label is not a positive
    assert written.patients == {"0", "1", "2"}
    table = pq.read_table(file, partitioning=None)
    assert table.schema.names == PREPARED.names
    assert table.schema.remove_metadata().equals(PREPARED.remove_metadata())
    for row, source in zip(table.to_pylist(), part.images.to_pylist(), strict=True):
        image = cv2.imdecode(np.frombuffer(contents[row["image_index"]], np.uint8), cv2.IMREAD_GRAYSCALE)
        expected = cv2.resize(image, (30, 32), interpolation=cv2.INTER_AREA)
        expected = cv2.resize(expected, (32, 32), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(np.frombuffer(row["pixels"], np.uint8).reshape(32, 32), expected)
        assert (row["height"], row["width"]) == (40, 30)
        np.testing.assert_array_equal(row.pop("labels"), source.pop("labels"))
        assert {k: row[k] for k in ("patient_id", "view_position", "sex", "age", "uri")} == {
            k: source[k] for k in ("patient_id", "view_position", "sex", "age", "uri")
        }


def test_row_groups_can_be_skipped_by_image_index(tmp_path):
    contents = {f"{i:02d}.png": png(8, 8) for i in range(9)}
    (written,) = writer(tmp_path / "out", size=1024).write(make_part(tmp_path, contents))
    metadata = pq.read_metadata(tmp_path / "out" / written.name)
    assert metadata.num_row_groups == 3  # 4 MiB of pixels each
    column = metadata.schema.names.index("image_index")
    statistics = [metadata.row_group(i).column(column).statistics for i in range(3)]
    assert [(s.min, s.max) for s in statistics] == [("00.png", "03.png"), ("04.png", "07.png"), ("08.png", "08.png")]
    assert metadata.metadata[SPARK_SCHEMA_KEY] == b'{"type": "struct", "fields": []}'


def test_bad_images_are_quarantined_with_their_reason_and_the_rest_is_kept(tmp_path):
    good = png()
    contents = {
        "a.png": good,
        "b.png": b"",
        "c.png": b"hello",
        "d.png": good[:-30],
        "e.png": good[:60] + b"!" + good[61:],
        "f.png": good,
        "g.png": good,
    }
    part = make_part(tmp_path, contents)
    (tmp_path / "f.png").unlink()
    data, quarantine = writer(tmp_path / "out").write(part)
    assert pq.read_table(tmp_path / "out" / data.name, partitioning=None)["image_index"].to_pylist() == [
        "a.png",
        "g.png",
    ]
    rows = pq.read_table(tmp_path / "out" / quarantine.name).to_pylist()
    assert {row["image_index"]: row["reason"] for row in rows} == {
        "b.png": "empty",
        "c.png": "not_an_image",
        "d.png": "truncated",
        "e.png": "corrupt",
        "f.png": "unreadable",
    }
    assert all(row["uri"] == f"file://{tmp_path}/{row['image_index']}" for row in rows)
    assert all(row["detail"] for row in rows)
    assert quarantine.reasons == {"corrupt": 1, "empty": 1, "not_an_image": 1, "truncated": 1, "unreadable": 1}
    assert quarantine.split is None


def test_nothing_usable_gives_no_data_file(tmp_path):
    written = writer(tmp_path / "out").write(make_part(tmp_path, {"a.png": b""}))
    assert [file.split for file in written] == [None]
    assert not (tmp_path / "out" / "data").exists()


def test_a_file_of_absurd_size_is_not_even_read(tmp_path):
    part = make_part(tmp_path, {"a.png": png()})
    huge = part.images.set_column(
        part.images.schema.get_field_index("size"), "size", pa.array([2**40], type=pa.int64())
    )
    (quarantine,) = writer(tmp_path / "out").write(Part(0, "train", huge))
    assert quarantine.reasons == {"too_large": 1}


def test_no_permission_is_unreadable(tmp_path):
    part = make_part(tmp_path, {"a.png": png()})
    (tmp_path / "a.png").chmod(0)
    with permissions_hold():
        (quarantine,) = writer(tmp_path / "out").write(part)
    assert quarantine.reasons == {"unreadable": 1}


def test_a_folder_in_place_of_a_file_is_unreadable(tmp_path):
    part = make_part(tmp_path, {"a.png": png()})
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()
    (quarantine,) = writer(tmp_path / "out").write(part)
    assert quarantine.reasons == {"unreadable": 1}


def test_output_that_cannot_be_written_is_a_run_error(tmp_path):
    part = make_part(tmp_path, {"a.png": png()})
    (tmp_path / "out").write_bytes(b"a file where the folder should be")
    with pytest.raises(RunError, match="cannot write"):
        writer(tmp_path / "out").write(part)


def test_disk_that_takes_no_more_is_a_run_error_and_leaves_nothing_behind(tmp_path):
    """A limit on the size of files fails in the midst of writing, as a full disk does."""
    part = make_part(tmp_path, {f"{i}.png": png() for i in range(4)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(RunError, match=r"cannot write .*File too large"):
            writer(tmp_path / "out").write(part)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]


def sixteen_bits(highest):
    values = np.linspace(0, highest, 40 * 30).reshape(40, 30).astype(np.uint16)
    return values, cv2.imencode(".png", values)[1].tobytes()


def test_16_bit_images_that_hold_fewer_are_counted_by_their_bits(tmp_path):
    files = {f"{bits}.png": sixteen_bits(2**bits - 1)[1] for bits in (10, 12, 14, 16)}
    (written,) = writer(tmp_path / "out").write(make_part(tmp_path, {**files, "8.png": png()}))
    assert written.used_bits == {10: 1, 12: 1, 14: 1, 16: 1}


@pytest.mark.parametrize("white", [1023, 4095, 16383, 60000])
def test_the_white_level_is_a_setting(tmp_path, white):
    values, content = sixteen_bits(white)
    task = PartWriter(f"file://{tmp_path}/out", 40, "pad", "{}", white)
    (written,) = task.write(make_part(tmp_path, {"a.png": content}))
    stored = pq.read_table(tmp_path / "out" / written.name, partitioning=None)["pixels"][0].as_py()
    expected = np.floor(values * (255 / white) + 0.5).astype(int)
    assert np.abs(np.frombuffer(stored, np.uint8).reshape(40, 40)[:, 5:35] - expected).max() <= 0


def test_what_is_above_the_white_level_is_white():
    values, content = sixteen_bits(65535)
    grey = decode_grey(content, 4095)
    assert (grey[values >= 4095] == 255).all()
    assert grey.max() == 255


def test_dicom_images_that_are_no_frontal_chests_are_set_aside_or_counted(tmp_path):
    parts = {"a_hand": ("HAND", "PA"), "b_side": ("CHEST", "LL"), "c_front": ("CHEST", "AP")}
    contents = {
        f"{name}.dcm": dicom_bytes(np.zeros((20, 20), np.uint8), BodyPartExamined=part, ViewPosition=view)
        for name, (part, view) in parts.items()
    }
    data, aside = writer(tmp_path / "out").write(make_part(tmp_path, contents))
    assert (data.rows, data.doubts, aside.reasons) == (2, {"other_view": 1}, {"other_body_part": 1})
    (row,) = pq.read_table(tmp_path / "out" / aside.name).to_pylist()
    assert (row["image_index"], row["detail"]) == ("a_hand.dcm", "BodyPartExamined 'HAND' is not the chest")
    gate = DicomGate(body_part="take", view="refuse")
    data, aside = PartWriter(f"file://{tmp_path}/o2", 32, "squash", "{}", gate=gate).write(
        make_part(tmp_path, contents)
    )
    assert (data.rows, data.doubts, aside.reasons) == (2, {}, {"other_view": 1})
