"""Small inputs that went wrong for people who do this job, each with what is right.

The inputs lie in the folder that CXR_CASES names, by default beside the real data; where there is none all of these
tests are skipped, and say so.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest

import cxr_spark
from cxr_spark.errors import ConfigError, DataError
from tests.support.cases import prepare, rows_of
from tests.support.small_model import write_model

pytestmark = pytest.mark.usefixtures("spark")

#: A network that takes images of 32 pixels.
NETWORK = {"architecture": "efficientnet_b0", "input_size": 32}


def findings_of(out: Path) -> list[str]:
    return list(json.loads((out / "manifest.json").read_text())["findings"])


def pixels_of(out: Path, size: int = 64) -> dict[str, np.ndarray]:
    """The prepared pixels by the name of the file."""
    rows = rows_of(out)
    images = [np.frombuffer(data, np.uint8).reshape(size, size) for data in rows["pixels"]]
    return {Path(name).name: image for name, image in zip(rows.index, images, strict=True)}


def warned(stderr: str, words: str) -> int:
    """Counts warnings in what a training, whose ranks are processes of their own, writes to stderr."""
    return sum(" WARNING " in line and words in line for line in stderr.splitlines())


def told(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(record.levelno == logging.WARNING and words in record.getMessage() for record in caplog.records)


def train(data: Path, out: Path, epochs: int, **settings: Any) -> list[dict[str, Any]]:
    """Trains, and returns the history."""
    settings = {"epochs": epochs, "global_batch": 6, "learning_rate": 0.001, "precision": "fp32", **settings}
    cxr_spark.train(data=str(data), out=str(out), model=NETWORK, train=settings)
    return list(json.loads((out / "history.json").read_text()))


def test_no_validation(case, tmp_path, capfd):
    options = {"images": str(case / "in"), "labels": str(case / "in/Data_Entry_2017.csv"), "split": "patient"}
    result = prepare(tmp_path / "data", **options, prepare={"val_fraction": 0})
    assert result.splits["val"] == 0
    assert any("validation" in warning for warning in result.warnings)
    history = train(tmp_path / "data", tmp_path / "run", 8, early_stop={"patience": 2})
    assert len(history) == 8
    assert {entry["learning_rate"] for entry in history} == {0.001}
    stderr = capfd.readouterr().err
    assert warned(stderr, "the learning rate is never lowered") == 1
    assert warned(stderr, "train.early_stop.patience is ignored") == 1


def test_val_auc_undefined(case, tmp_path, capfd):
    prepare(tmp_path / "data", dataset="folder", images=str(case / "in"), split="column")
    history = train(tmp_path / "data", tmp_path / "run", 5, early_stop={"patience": 1})
    assert len(history) == 5
    assert all(entry["val_macro_auc"] is None for entry in history)
    assert warned(capfd.readouterr().err, "train.early_stop.patience is ignored") == 1


def test_kaggle_layout(case, tmp_path):
    """The archive holds all images twice, and Apple's folder beside them: it is refused until one set is named."""
    with pytest.raises(DataError, match=r"'chest_xray'.*neither a split nor a class"):
        prepare(tmp_path / "all", dataset="folder", images=str(case / "in/chest_xray"))
    inner = str(case / "in/chest_xray/chest_xray")
    result = prepare(tmp_path / "inner", dataset="folder", images=inner)
    assert findings_of(tmp_path / "inner") == ["NORMAL", "PNEUMONIA"]
    assert result.splits == {"train": 4, "val": 4, "test": 4}
    rows = rows_of(tmp_path / "inner")
    assert rows["split"].tolist() == [name.split("/")[0] for name in rows.index]


def test_extra_folder(case, tmp_path):
    with pytest.raises(DataError, match=r"there is 'unlabeled' \(4 images\)"):
        prepare(tmp_path / "all", dataset="folder", images=str(case / "in"))
    result = prepare(tmp_path / "named", dataset="folder", images=f"{case}/in/{{test,train,val}}")
    assert result.splits == {"train": 4, "val": 4, "test": 4}


def test_masks_as_images(case, tmp_path):
    folder = f"{case}/in/COVID-19_Radiography_Dataset"
    with pytest.raises(DataError, match=r"8 of 16 images lie in a folder 'masks'.*--images 'FOLDER/\*\*/images'"):
        prepare(tmp_path / "all", dataset="folder", images=folder)
    result = prepare(tmp_path / "named", dataset="folder", images=f"{folder}/**/images")
    assert (result.prepared, findings_of(tmp_path / "named")) == (
        8,
        ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"],
    )


def test_class_vanishes(case, tmp_path):
    """Files are told by their content, so that a class of .jfif files is there."""
    prepare(tmp_path / "data", dataset="folder", images=str(case / "in"))
    rows = rows_of(tmp_path / "data")
    assert Counter(name.split("/")[0] for name in rows.index) == {"NORMAL": 3, "COVID": 3, "VIRAL": 3}


def test_class_without_training_images(case, tmp_path, caplog):
    words = "1 findings have no training image"
    result = prepare(tmp_path / "data", dataset="folder", images=str(case / "in"))
    assert sum(words in warning for warning in result.warnings) == 1
    caplog.clear()
    with pytest.raises(ConfigError, match=r"train\.class_weights"):  # all that follows needs no training
        train(tmp_path / "data", tmp_path / "run", 1, class_weights={"C": 2})
    assert told(caplog, words) == 1


def test_dicom_suffix(case, tmp_path):
    result = prepare(tmp_path / "data", dataset="rsna", images=str(case / "in"), labels=str(case / "l.csv"))
    assert (result.prepared, result.labels_without_image) == (8, 0)
    copied = shutil.copytree(case / "in", tmp_path / "bare")
    for path in list(copied.iterdir()):
        path.rename(path.with_suffix(""))
    bare = prepare(tmp_path / "bare_data", dataset="rsna", images=str(copied), labels=str(case / "l.csv"))
    assert (bare.prepared, bare.labels_without_image) == (8, 0)


def test_no_preamble(case, tmp_path):
    result = prepare(tmp_path / "data", dataset="rsna", images=str(case / "in"), labels=str(case / "l.csv"))
    assert (result.prepared, result.quarantined) == (9, {})


def test_header_64k(case, tmp_path):
    prepare(tmp_path / "data", dataset="rsna", images=str(case / "in"), labels=str(case / "l.csv"))
    for row in rows_of(tmp_path / "data").itertuples():
        original = pydicom.dcmread(case / "in" / f"{row.Index}.dcm")
        assert (row.sex, row.view_position) == (original.PatientSex, original.ViewPosition)
        assert row.age == int(original.PatientAge[:3])


def test_voi_lut_12_in_16(case, tmp_path):
    prepare(tmp_path / "data", dataset="folder", images=str(case / "in"), size=64)
    images = pixels_of(tmp_path / "data")
    np.testing.assert_array_equal(images["bad.dcm"], images["good.dcm"])
    assert np.ptp(images["bad.dcm"]) > 100


def test_pixel_padding(case, tmp_path):
    prepare(tmp_path / "data", dataset="folder", images=str(case / "in"), size=64)
    images = pixels_of(tmp_path / "data")
    stored = pydicom.dcmread(case / "in/A/pad_unsigned.dcm").pixel_array
    padding = stored == 65535
    assert padding.any()
    for name in ("pad_unsigned.dcm", "pad_signed.dcm"):
        np.testing.assert_array_equal(images[name], np.where(padding, 0, images["nopad.dcm"]))


def test_png16_of_12_bits(case, tmp_path):
    result = prepare(tmp_path / "data", dataset="folder", images=str(case / "in"), size=64)
    assert [line for line in result.warnings if "1 PNG files of 16 bits" in line and "white_level=4095" in line]
    prepare(tmp_path / "white", dataset="folder", images=str(case / "in"), size=64, prepare={"white_level": 4095})
    assert len(np.unique(pixels_of(tmp_path / "data")["bits12.png"])) < 20
    assert len(np.unique(pixels_of(tmp_path / "white")["bits12.png"])) > 100


def test_dicom_poor_reasons(case, tmp_path):
    result = prepare(tmp_path / "data", dataset="folder", images=str(case / "in"), size=64, max_bad_fraction=0.5)
    aside = pd.read_parquet(tmp_path / "data" / "quarantine")
    details = {Path(uri).name: detail for uri, detail in zip(aside["uri"], aside["detail"], strict=True)}
    assert details.keys() == {"sr.dcm", "no_pixels.dcm"}
    assert "holds no pixels (Structured Report)" in details["sr.dcm"]
    assert result.quarantined == {"truncated": 1, "unsupported_format": 1}
    images = pixels_of(tmp_path / "data")
    np.testing.assert_array_equal(images["jpeg_junk.dcm"], images["jpeg_spaces.dcm"])
    for name in ("rescale_empty.dcm", "modlut_12.dcm"):
        original = pydicom.dcmread(case / "in/A" / name)
        shown = original.pixel_array.astype(float)
        if "ModalityLUTSequence" in original:  # DICOM PS3.3, C.11.1.1; pydicom takes tables of 8 and 16 bits alone
            (lut,) = original.ModalityLUTSequence
            count, first, _ = lut.LUTDescriptor
            shown = np.array(lut.LUTData)[np.clip(shown.astype(int) - first, 0, count - 1)].astype(float)
        spread = (shown - shown.min()) / np.ptp(shown) * 255
        np.testing.assert_allclose(images[name], spread, atol=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("cases") / "model"
    write_model(folder)
    return str(folder)


def test_incremental_same_name(case, tmp_path, caplog, model):
    options = {"model": model, "out": str(tmp_path / "scores"), "incremental": True}
    assert cxr_spark.score(images=str(case / "in/study1"), **options).images == 1
    second = cxr_spark.score(images=[str(case / "in/study1"), str(case / "in/study2")], **options)
    assert (second.images, second.quarantined) == (0, {"duplicate_name": 1})
    assert told(caplog, "--image-index path") == 1
    caplog.clear()
    cxr_spark.score(images=[str(case / "in/study1"), str(case / "in/study2")], **options)
    assert told(caplog, "1 of 2 images are still not scored, as another image has their name") == 1
    apart = cxr_spark.score(images=str(case / "in"), **{**options, "out": str(tmp_path / "apart")}, image_index="path")
    assert apart.images == 2


def test_chexpert_score_message(case, tmp_path, model):
    for job in (cxr_spark.score, cxr_spark.explain):
        with pytest.raises(DataError, match="--image-index path") as error:
            job(images=str(case / "in"), model=model, out=str(tmp_path / job.__name__))
        assert "--only boxed" not in str(error.value)
    scored = cxr_spark.score(images=str(case / "in"), model=model, out=str(tmp_path / "apart"), image_index="path")
    assert scored.images == 3
