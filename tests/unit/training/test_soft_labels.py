"""Soft labels: a teacher's probabilities, found by image and finding, mixed into the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from cxr_spark.config import load_settings
from cxr_spark.errors import DataError, RunError
from cxr_spark.scoring.task import FINDINGS_KEY
from cxr_spark.tables.schema import TRAIN
from cxr_spark.training.rank.shards import read_index
from cxr_spark.training.soft_labels import Teacher, soften
from tests.support.predictions import write_predictions
from tests.support.prepared_sets import write_prepared
from tests.support.tiny_training import FINDINGS, tiny_spec, tiny_trainer, train_tiny

NAMES = [f"{i}.png" for i in range(7)]


@pytest.fixture
def probabilities() -> np.ndarray:
    return np.random.default_rng(3).random((7, 3)).astype(np.float32)


def test_probabilities_are_found_by_image_and_finding(tmp_path: Path, probabilities: np.ndarray) -> None:
    teacher = Teacher.open(write_predictions(tmp_path / "scores", NAMES, probabilities, ("A", "B", "C")))
    (tmp_path / "scores" / "_ledger.parquet").write_bytes(b"not read")
    found = teacher.probabilities(["5.png", "0.png"], ["C", "A"])
    np.testing.assert_array_equal(found, probabilities[[5, 0]][:, [2, 0]])


def test_labels_that_are_not_known_stay_so_and_part_0_changes_nothing(probabilities: np.ndarray) -> None:
    labels = (probabilities > 0.5).astype(np.float32)
    labels[1, 1] = np.nan
    np.testing.assert_allclose(soften(labels, probabilities, 0.25), 0.75 * labels + 0.25 * probabilities, rtol=1e-6)
    assert soften(labels, probabilities, 0).tobytes() == labels.tobytes()


def test_what_cannot_be_learned_from_is_told(tmp_path: Path, probabilities: np.ndarray) -> None:
    teacher = Teacher.open(write_predictions(tmp_path / "scores", NAMES, probabilities, ("A", "B", "C")))
    with pytest.raises(DataError, match=r"no row of 2 of 3 training images, such as 'x.png'.*--split train or all"):
        teacher.probabilities(["x.png", "1.png", "y.png"], ["A"])
    with pytest.raises(DataError, match=r"no probabilities of D, E: expected every finding"):
        teacher.probabilities(NAMES, ["A", "D", "E"])
    twice = write_predictions(tmp_path / "twice", [*NAMES, *NAMES], np.tile(probabilities, (2, 1)), ("A", "B", "C"))
    with pytest.raises(DataError, match="14 rows of 7 images: expected one an image"):
        Teacher.open(twice).probabilities(NAMES, ["A"])
    probabilities[0, 0] = np.nan
    wrong = write_predictions(tmp_path / "wrong", NAMES, probabilities, ("A", "B", "C"))
    with pytest.raises(DataError, match="not from 0 to 1"):
        Teacher.open(wrong).probabilities(NAMES, ["A"])
    (tmp_path / "wrong" / "part-00000-abc.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-00000-abc\.parquet cannot be read"):
        Teacher.open(wrong).probabilities(NAMES, ["A"])
    with pytest.raises(DataError, match="not a finished output of the score job"):
        Teacher.open(f"file://{tmp_path}")
    (tmp_path / "scores" / "_done.json").write_text('{"job": "score", "summary": "another"}')
    with pytest.raises(RunError, match="was replaced while the job ran"):
        teacher.probabilities(NAMES, ["A"])


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (b"[" * 200_000, "does not say what its numbers are of"),
        (b'{"A": 1, "B": 2, "C": 3}', "does not say what its numbers are of"),
        (b'"ABC"', "does not say what its numbers are of"),
        (b"[1, 2, 3]", "does not say what its numbers are of"),
        (b'["A", "B", "A"]', "names 'A' twice"),
        (b'["A", "B"]', "cannot be read"),
    ],
    ids=["deep", "object", "text", "numbers", "twice", "too few"],
)
def test_hostile_names_of_findings_are_refused_in_one_line(
    tmp_path: Path, probabilities: np.ndarray, told: bytes, message: str
) -> None:
    teacher = Teacher.open(write_predictions(tmp_path / "scores", NAMES, probabilities, ("A", "B", "C")))
    file = tmp_path / "scores" / "part-00000-abc.parquet"
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, FINDINGS_KEY: told}), file)
    with pytest.raises(DataError, match=message) as caught:
        teacher.probabilities(NAMES, ["A"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_the_setting_is_a_full_uri_for_the_ranks(tmp_path: Path, probabilities: np.ndarray) -> None:
    write_predictions(tmp_path / "scores", NAMES, probabilities, ("A", "B", "C"))
    train = load_settings(None, [f"train.soft_labels={tmp_path}/scores"]).train
    teacher = Teacher.of(train, "file:///")
    assert teacher is not None
    assert teacher.uri == f"file://{tmp_path}/scores"
    assert Teacher.of(load_settings(None).train, "file:///") is None


def test_part_0_trains_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    data = write_prepared(tmp_path / "data", {"train": 12, "val": 4})
    index = read_index(tiny_spec(data, tmp_path).dataset(), TRAIN)
    draws = np.random.default_rng(0).random((12, 3))
    uri = write_predictions(tmp_path / "scores", index.names.tolist(), draws, FINDINGS)
    teacher = Teacher.open(uri)

    def weights(name: str, soft: bool, **train: float) -> dict[str, torch.Tensor]:
        given = (teacher.uri, teacher.sha256) if soft else None
        out = tmp_path / name
        return train_tiny(tiny_spec(data, out, soft_labels=given, epochs=1, global_batch=4, **train)).model

    without, zero = weights("without", False), weights("zero", True, soft_labels_lambda=0)
    assert all(torch.equal(zero[name], tensor) for name, tensor in without.items())
    half = weights("half", True, soft_labels_lambda=0.5)
    assert not all(torch.equal(half[name], tensor) for name, tensor in without.items())


def test_the_trainer_learns_the_mixed_labels(tmp_path: Path) -> None:
    data = write_prepared(tmp_path / "data", {"train": 9, "val": 3}, masked=0.2)
    index = read_index(tiny_spec(data, tmp_path).dataset(), TRAIN)
    draws = np.random.default_rng(0).random((9, 3)).astype(np.float32)
    teacher = Teacher.open(write_predictions(tmp_path / "scores", index.names.tolist(), draws, FINDINGS))
    given = (teacher.uri, teacher.sha256)
    spec = tiny_spec(data, tmp_path / "out", soft_labels=given, soft_labels_lambda=0.3, global_batch=3)
    np.testing.assert_allclose(tiny_trainer(spec)._train.labels, 0.7 * index.labels + 0.3 * draws, rtol=1e-5)
