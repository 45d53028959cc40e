from __future__ import annotations

import json

import pytest

from cxr_spark.reporting.provenance import Provenance


@pytest.fixture
def chain(tmp_path):
    """Labels, the prepared data made with them, and the scores of those."""
    for name in ("raw", "prepared", "scores"):
        (tmp_path / name).mkdir()
    labels, prepared, scores = tmp_path / "raw" / "Data_Entry_2017.csv", tmp_path / "prepared", tmp_path / "scores"
    labels.write_text("x")
    (prepared / "manifest.json").write_text(json.dumps({"sources": {"labels": labels.as_uri()}}))
    (scores / "_done.json").write_text(json.dumps({"inputs": {"data": prepared.as_uri()}}))
    return labels, prepared, scores


def test_the_notice_beside_the_labels_is_found_from_labels_and_from_scores(chain):
    labels, _, scores = chain
    assert not Provenance.of(scores.as_uri()).is_synthetic([labels.as_uri()])
    (labels.parent / "SYNTHETIC.txt").write_text("drawn")
    assert Provenance.of(scores.as_uri()).is_synthetic([])
    assert Provenance.of("file:///nowhere.csv").is_synthetic([labels.as_uri()])


@pytest.mark.parametrize("text", ["[]", "{}", '{"inputs": 3}', '{"inputs": {"data": 3}}', "not JSON"])
def test_what_cannot_be_followed_is_taken_as_real(chain, text):
    labels, _, scores = chain
    (labels.parent / "SYNTHETIC.txt").write_text("drawn")
    (scores / "_done.json").write_text(text)
    assert not Provenance.of(scores.as_uri()).is_synthetic([])


def test_the_model_is_what_the_score_job_says_of_the_very_model_of_the_rows(chain):
    _, _, scores = chain
    assert Provenance.of(scores.as_uri()).model("ab") is None
    told = {"model": {"architecture": "resnet50"}, "model_id": "ab"}
    (scores / "_done.json").write_text(json.dumps({"summary": told}))
    assert Provenance.of(scores.as_uri()).model("ab") == {"architecture": "resnet50"}
    assert Provenance.of(scores.as_uri()).model("cd") is None
    for other in ({**told, "model": "x"}, {"model_id": "ab"}):
        (scores / "_done.json").write_text(json.dumps({"summary": other}))
        assert Provenance.of(scores.as_uri()).model("ab") is None


@pytest.mark.parametrize(
    ("summary", "expected"),
    [({"warnings": ["too good", 3]}, ["too good"]), ({"warnings": "x"}, []), ({"warnings": None}, []), ({}, [])],
)
def test_what_the_score_job_says_against_its_scores_is_repeated(chain, summary, expected):
    _, _, scores = chain
    (scores / "_done.json").write_text(json.dumps({"summary": summary}))
    assert Provenance.of(scores.as_uri()).warnings == expected
    (scores / "_done.json").write_text(json.dumps({"summary": {"splits_trained_on": summary.get("warnings")}}))
    assert Provenance.of(scores.as_uri()).splits_trained_on == expected


def test_of_a_single_file_holds_what_is_said_of_the_scores_that_it_is_a_part_of(chain):
    _, _, scores = chain
    part, other = scores / "part-00000-ab.parquet", scores / "mine.parquet"
    for file in (part, other):
        file.write_bytes(b"x")
    summary = {"warnings": ["too good"], "splits_trained_on": ["val"], "model": {"task": "x"}, "model_id": "ab"}
    mark = {"format": 2, "job": "score", "state": "done", "complete": True, "files": [part.name], "summary": summary}
    (scores / "_done.json").write_text(json.dumps(mark))
    assert Provenance.of(part.as_uri()).warnings == ["too good"]
    assert Provenance.of(part.as_uri()).splits_trained_on == ["val"]
    assert Provenance.of(part.as_uri()).model("ab") == {"task": "x"}
    assert Provenance.of(other.as_uri()).warnings == Provenance.of("file:///nowhere.csv").warnings == []
    (scores / "_done.json").write_text(json.dumps({**mark, "job": "train"}))
    assert Provenance.of(part.as_uri()).warnings == []
