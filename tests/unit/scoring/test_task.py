"""What a task of the score job writes, without Spark."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr_spark.errors import DataError
from cxr_spark.imaging.listing import find_images
from cxr_spark.models.folder import load_model
from cxr_spark.models.metadata_file import load_metadata
from cxr_spark.scoring.ensemble import ShippedEnsemble
from cxr_spark.scoring.plan import (
    MAX_IMAGES,
    NAMINGS,
    RawImage,
    RawPart,
    label_order,
    number_of_parts,
    prepared_parts,
    raw_parts,
)
from cxr_spark.scoring.predict import predict
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.task import PartScorer
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.tables.schema import PREDICTIONS, QUARANTINE, RAW_PREDICTIONS
from tests.support.dicom_files import dicom_bytes
from tests.support.prepared_sets import write_prepared
from tests.support.small_model import write_model

FINDINGS = ("Effusion", "Mass", "No Finding")


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Numbers are compared closely: no bfloat16, whatever the CPU."""
    monkeypatch.setattr("cxr_spark.models.device.cpu_has_bf16", lambda: False)


def scorer(tmp_path, data=None, labels=(0, 1, 2), batch=3) -> PartScorer:
    uri = f"file://{tmp_path}/model"
    return PartScorer(
        out=f"file://{tmp_path}/out",
        tag="abc",
        model=ShippedEnsemble((ShippedModel(uri, load_metadata(Store(uri))),)),
        data=data and f"file://{data}",
        labels=labels,
        threads=1,
        batch=batch,
    )


def read(tmp_path, name) -> pd.DataFrame:
    table = pq.read_table(tmp_path / "out" / name, partitioning=None)
    assert table.schema.equals(PREDICTIONS) or table.schema.equals(RAW_PREDICTIONS)
    assert json.loads(table.schema.metadata[b"findings"]) == list(FINDINGS)
    return table.to_pandas()


def test_prepared_images(tmp_path):
    model = write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"train": 3, "test": 11}, masked=0.2)
    parts = prepared_parts(PreparedDataset.open(f"file://{data}"), "test")
    assert [part.name for part in parts] == ["data/split=test/part-00000.parquet", "data/split=test/part-00001.parquet"]
    results = list(scorer(tmp_path, data)(parts))
    assert [(r.names, r.images, r.quarantined) for r in results] == [
        (("part-00000-abc.parquet",), 6, {}),
        (("part-00001-abc.parquet",), 5, {}),
    ]
    loaded = load_model(Store(str(tmp_path / "model")))
    for part, result in zip(parts, results, strict=True):
        source = pq.read_table(data / part.name, partitioning=None).to_pandas()
        rows = read(tmp_path, result.names[0])
        for name in ("image_index", "patient_id", "view_position", "sex", "age"):
            assert rows[name].tolist() == source[name].tolist()
        np.testing.assert_array_equal(np.stack(rows["labels"]), np.stack(source["labels"]))
        assert set(rows["split"]) == {"test"}
        assert set(rows["model_id"]) == {model.model_id}
        assert (set(rows["engine"]), set(rows["precision"])) == ({"torch"}, {"fp32"})
        pixels = np.stack([np.frombuffer(p, np.uint8).reshape(32, 32) for p in source["pixels"]])
        expected = predict(loaded.module, loaded.metadata, pixels)
        np.testing.assert_allclose(np.stack(rows["probabilities"]), expected, atol=1e-5)


def test_labels_take_the_model_s_order(tmp_path):
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"test": 6}, findings=("No Finding", "Hernia", "Effusion"), files=1)
    labels = label_order(FINDINGS, ("No Finding", "Hernia", "Effusion"), "x")
    assert labels == (2, None, 0)
    (part,) = prepared_parts(PreparedDataset.open(f"file://{data}"), "test")
    (result,) = scorer(tmp_path, data, labels)([part])
    source = np.stack(pq.read_table(data / part.name, partitioning=None)["labels"].to_pylist())
    mine = np.stack(read(tmp_path, result.names[0])["labels"])
    np.testing.assert_array_equal(mine[:, [0, 2]], source[:, [2, 0]])
    assert np.isnan(mine[:, 1]).all()
    with pytest.raises(DataError, match="none in common"):
        label_order(FINDINGS, ("Hernia",), "x")


def test_raw_dicom_images_bring_patient_view_and_uids_and_pass_the_gate(tmp_path):
    write_model(tmp_path / "model")
    pixels = np.zeros((40, 40), np.uint8)
    uids = {"StudyInstanceUID": "1.2.1", "SeriesInstanceUID": "1.2.2", "SOPInstanceUID": "1.2.3"}
    person = {"PatientID": "P7", "PatientSex": "F", "PatientAge": "061Y", "ViewPosition": "LL", "Modality": "DX"}
    (tmp_path / "chest.dcm").write_bytes(dicom_bytes(pixels, **person, **uids))
    (tmp_path / "head.dcm").write_bytes(dicom_bytes(pixels, **{**person, "Modality": "CT"}))
    assert cv2.imwrite(str(tmp_path / "plain.png"), pixels)
    names = ("chest.dcm", "head.dcm", "plain.png")
    images = [RawImage(name, f"file://{tmp_path}/{name}", (tmp_path / name).stat().st_size) for name in names]
    (result,) = scorer(tmp_path)([RawPart(0, tuple(images))])
    assert (result.images, result.quarantined, result.doubts) == (2, {"other_modality": 1}, {"other_view": 1})
    rows = read(tmp_path, result.names[0]).astype(object)
    chest, plain = rows.where(rows.notna(), None).to_dict("records")
    expected = {"patient_id": "P7", "sex": "F", "age": 61.0, "view_position": "LATERAL", **uids}
    assert {name: chest[name] for name in expected} == expected
    assert {name: plain[name] for name in expected} == dict.fromkeys(expected)
    refused = pq.read_table(tmp_path / "out" / result.names[1]).to_pylist()
    assert refused[0]["detail"] == "Modality 'CT' is no radiograph, expected one of CR, DR, DX, RG"


def test_the_same_work_gives_the_same_file(tmp_path):
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"test": 5}, files=1)
    parts = prepared_parts(PreparedDataset.open(f"file://{data}"), "test")
    path = tmp_path / "out" / "part-00000-abc.parquet"
    list(scorer(tmp_path, data)(parts))
    first = path.read_bytes()
    list(scorer(tmp_path, data)(parts))
    assert path.read_bytes() == first
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [path.name]


def lists(*rows) -> pa.Array:
    return pa.array(rows, pa.list_(pa.float32()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns("pixels"), "cannot be read"),
        (lambda t: t.set_column(8, t.field("pixels"), [[b"12345"] * len(t)]), "not square and of one size"),
        (lambda t: t.set_column(8, t.field("pixels"), [[b"1" * 16] + [b"1" * 4] * (len(t) - 1)]), "not square"),
        (
            lambda t: t.set_column(8, pa.field("pixels", pa.binary()), pa.array([None] * len(t), pa.binary())),
            "not square",
        ),
        (lambda t: t.set_column(5, t.field("labels"), lists([1.0], [1.0, 0.0], [0.0])), "differ in length"),
    ],
)
def test_damaged_prepared_files_are_named(tmp_path, change, message):
    write_model(tmp_path / "model")
    data = write_prepared(tmp_path / "data", {"test": 3}, files=1)
    path = data / "data" / "split=test" / "part-00000.parquet"
    table = pq.read_table(path, partitioning=None)
    assert (table.schema.names[5], table.schema.names[8]) == ("labels", "pixels")
    pq.write_table(change(table), path)
    parts = prepared_parts(PreparedDataset.open(f"file://{data}"), "test")
    with pytest.raises(DataError, match=rf"part-00000\.parquet.*{message}.*prepare the data again"):
        list(scorer(tmp_path, data)(parts))
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-00000\.parquet cannot be read"):
        list(scorer(tmp_path, data)(parts))


def png(seed: int, side: int = 40) -> bytes:
    return cv2.imencode(".png", np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))[1].tobytes()


def test_raw_images(tmp_path):
    write_model(tmp_path / "model")
    folder = tmp_path / "images"
    for name, content in {
        "b/2.png": png(2),
        "a/1.png": png(1),
        "a/3.png": png(3),
        "a/cut.png": png(4)[:-60],
        "a/empty.png": b"",
        "a/same.png": png(5),
        "b/same.png": png(6),
        "a/_hidden.png": png(7),
        "note.txt": b"x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    found = find_images([f"file://{folder}"])
    parts, aside = raw_parts(found, NAMINGS["name"], cores=1)
    assert {row["image_index"]: row["reason"] for row in aside.to_pylist()} == {
        "_hidden.png": "hidden_name",
        "same.png": "duplicate_name",
    }
    assert aside.schema == QUARANTINE
    results = list(scorer(tmp_path, batch=2)(parts))
    assert sum(r.images for r in results) == 3
    rows = pd.concat([read(tmp_path, n) for r in results for n in r.names if n.startswith("part-")])
    assert rows["image_index"].tolist() == ["1.png", "2.png", "3.png"]
    for name in ("patient_id", "view_position", "sex", "age", "split", "labels"):
        assert rows[name].isna().all()
    loaded = load_model(Store(str(tmp_path / "model")))
    pixels = np.stack([cv2.imdecode(np.frombuffer(png(i), np.uint8), cv2.IMREAD_GRAYSCALE) for i in (1, 2, 3)])
    small = np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA) for image in pixels])
    expected = predict(loaded.module, loaded.metadata, small)
    np.testing.assert_allclose(np.stack(rows["probabilities"]), expected, atol=1e-5)
    bad = pd.concat(
        [pq.read_table(tmp_path / "out" / n).to_pandas() for r in results for n in r.names if n.startswith("_")]
    )
    assert dict(zip(bad["image_index"], bad["reason"], strict=True)) == {"cut.png": "truncated", "empty.png": "empty"}

    parts, aside = raw_parts(found, NAMINGS["path"], cores=1)
    names = [image.image_index for part in parts for image in part.images]
    assert names == ["a/1.png", "a/3.png", "a/cut.png", "a/empty.png", "a/same.png", "b/2.png", "b/same.png"]
    assert aside.num_rows == 1


@pytest.mark.parametrize(("images", "cores"), [(0, 4), (1, 8), (15, 2), (1000, 2), (112_120, 40)])
def test_parts_keep_all_cores_at_work(images, cores):
    n = number_of_parts(images, cores)
    assert n >= images / MAX_IMAGES
    assert n <= images
    if images >= 16 * 3 * cores:
        assert n >= 3 * cores


def test_nothing_to_score(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="check --images"):
        raw_parts(find_images([f"file://{tmp_path}/images"]), NAMINGS["name"], cores=1)
    data = write_prepared(tmp_path / "data", {"train": 3})
    with pytest.raises(DataError, match=r"no images in split 'test'.*train 3"):
        prepared_parts(PreparedDataset.open(f"file://{data}"), "test")
    assert len(prepared_parts(PreparedDataset.open(f"file://{data}"), "all")) == 2
