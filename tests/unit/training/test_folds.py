"""Folds by patient, against scikit-learn's GroupKFold and against the rows of the files."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import GroupKFold

from cxr_spark.commands.main import main
from cxr_spark.errors import DataError
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.cross_validation.out_of_fold import held_out_parts
from cxr_spark.training.folds import Fold, assign_folds, assign_images, images_of
from tests.support.prepared_sets import write_prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("data") / "prepared", {"train": 41, "val": 12, "test": 6})


def rows(data: Path, *splits: str) -> dict[str, str]:
    """Returns the patient of each image in the files of some splits."""
    files = [file for split in splits for file in sorted((data / "data" / f"split={split}").iterdir())]
    table = pa.concat_tables(pq.ParquetFile(file).read(["image_index", "patient_id"]) for file in files)
    return dict(zip(table["image_index"].to_pylist(), table["patient_id"].to_pylist(), strict=True))


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_folds_are_as_even_as_those_of_scikit_learn_and_share_no_patient(folds: int) -> None:
    # As in NIH's set most patients have one image, and a few have very many.
    counts = np.random.default_rng(0).geometric(0.3, 400) ** 2
    patients = np.repeat([f"p{number}" for number in range(400)], counts)
    found = assign_folds(patients.tolist(), folds, 42)
    theirs = [len(test) for _, test in GroupKFold(folds).split(patients, groups=patients)]
    assert sorted(np.bincount(found)[1:].tolist()) == sorted(theirs)
    folds_of = defaultdict(set)
    for patient, fold in zip(patients, found, strict=True):
        folds_of[patient].add(int(fold))
    assert {len(own) for own in folds_of.values()} == {1}


def test_the_folds_depend_on_the_seed_and_not_on_the_order_of_the_images() -> None:
    patients = [f"patient {number // 2}" for number in range(60)]
    order = np.random.default_rng(1).permutation(60)
    found = assign_folds(patients, 5, 7)
    assert assign_folds([patients[i] for i in order], 5, 7).tolist() == found[order].tolist()
    assert assign_folds(patients, 5, 8).tolist() != found.tolist()


def test_each_image_of_train_and_val_is_held_out_once_and_no_patient_is_on_both_sides(data: Path) -> None:
    patient_of, dataset = rows(data, "train", "val"), PreparedDataset.open(str(data))
    assignment = assign_images(dataset, 4, 42)
    held_out: list[str] = []
    for number in range(1, 5):
        training, validation = images_of(dataset, Fold(number=number, of=4, seed=42))
        assert sorted([*training.names, *validation.names]) == sorted(patient_of)
        patients = {patient_of[name] for name in validation.names}
        assert not patients & {patient_of[name] for name in training.names}
        assert assignment.patients[number - 1] == len(patients)
        held_out += validation.names.tolist()
    assert sorted(held_out) == sorted(patient_of)
    assert assignment.warnings() == ()


def test_without_a_fold_the_images_are_those_of_the_splits(data: Path) -> None:
    training, validation = images_of(PreparedDataset.open(str(data)), None)
    assert (set(training.names), set(validation.names)) == (set(rows(data, "train")), set(rows(data, "val")))


def test_the_parts_of_the_out_of_fold_scores_hold_the_rows_of_the_fold_and_no_others(data: Path) -> None:
    dataset = PreparedDataset.open(str(data))
    assignment = assign_images(dataset, 3, 1)
    numbers = []
    for number in range(1, 4):
        found: list[str] = []
        for part in held_out_parts(dataset, assignment.held_out(number), first=10):
            assert part.rows is not None
            numbers.append(part.number)
            found += pq.ParquetFile(data / part.name).read(["image_index"]).take(pa.array(part.rows))[0].to_pylist()
        assert sorted(found) == assignment.held_out(number).names.tolist()
    assert min(numbers) == 10


def with_patients(data: Path, folder: Path, patient: str | None) -> PreparedDataset:
    """Copies a dataset; in its first training file all images get one patient."""
    for source in data.rglob("*.*"):
        target = folder / source.relative_to(data)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    first = folder / "data" / "split=train" / "part-00000.parquet"
    table = pq.ParquetFile(first).read()
    place = table.schema.get_field_index("patient_id")
    column = pa.array([patient] * len(table), pa.string())
    pq.write_table(table.set_column(place, table.schema.field(place), column), first)
    return PreparedDataset.open(str(folder))


def test_images_without_a_patient_are_assigned_one_by_one_and_told(data: Path, tmp_path: Path) -> None:
    assignment = assign_images(with_patients(data, tmp_path / "unknown", None), 5, 42)
    assert max(np.bincount(assignment.fold)[1:]) - min(np.bincount(assignment.fold)[1:]) <= 2
    (told,) = assignment.warnings()
    assert told.startswith("FOLDS MAY SHARE PATIENTS: the patient of 21 of 53 images is not known")
    assert "--patient-pattern" in told


def test_a_patient_with_most_of_the_images_stays_in_one_fold(data: Path, tmp_path: Path) -> None:
    dataset = with_patients(data, tmp_path / "one", "somebody")
    assignment = assign_images(dataset, 5, 42)
    patient_of = rows(tmp_path / "one", "train", "val")
    of_somebody = [patient_of[name] == "somebody" for name in assignment.images.names]
    assert sum(of_somebody) == 21
    assert len(set(assignment.fold[of_somebody].tolist())) == 1


def test_an_image_in_two_splits_is_refused(data: Path, tmp_path: Path) -> None:
    with_patients(data, tmp_path / "twice", "somebody")
    train, val = (tmp_path / "twice" / "data" / f"split={split}" for split in ("train", "val"))
    (val / "part-00009.parquet").write_bytes((train / "part-00000.parquet").read_bytes())
    with pytest.raises(DataError, match=r"stands twice in split 'train' or 'val'"):
        assign_images(PreparedDataset.open(str(tmp_path / "twice")), 3, 42)


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--folds", "1"], 2, "--folds 1: expected a whole number of 2 or more; leave it out for one training"),
        (["--folds", "0"], 2, "--folds 0: expected"),
        (["--folds", "3", "--backend", "bigdl"], 2, "--folds 3 is for train.backend=torch, and it is bigdl"),
        (["--folds", "22"], 3, "are of 21 patients, and each fold needs one at least: give --folds 21 or fewer"),
        (["--folds", "2", "--workers", "32"], 3, "leaves 26 images of"),
    ],
)
def test_what_cannot_be_cross_validated_is_refused_and_leaves_nothing_but_how_the_run_ended(
    options: list[str], status: int, told: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--data", str(data), "--out", str(tmp_path / "run"), *options]) == status
    assert told in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "run").rglob("*")} == {"_cxr_spark.json", "_status.json"}
