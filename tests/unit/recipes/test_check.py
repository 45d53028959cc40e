"""What the pipeline checks before its first job."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.config import load_settings
from cxr_spark.errors import ConfigError, CxrError, DataError, UsageError
from cxr_spark.recipes.check import PipelineCheck
from cxr_spark.recipes.child_jobs import child_jobs
from cxr_spark.storage.store import resolve


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    """Settings of a pipeline that has nothing wrong."""
    (tmp_path / "images").mkdir()
    for name in ("labels.csv", "train.txt", "test.txt"):
        (tmp_path / name).write_text("")
    return [
        f"prepare.images={tmp_path}/images",
        f"prepare.labels={tmp_path}/labels.csv",
        f"prepare.train_list={tmp_path}/train.txt",
        f"prepare.test_list={tmp_path}/test.txt",
        f"pipeline.out={tmp_path}/out",
    ]


def check(*overrides: str) -> None:
    settings = load_settings(None, overrides)
    PipelineCheck(settings, child_jobs(settings), resolve).run()


def problems(*overrides: str, kind: type[CxrError] = UsageError) -> list[str]:
    with pytest.raises(kind) as caught:
        check(*overrides)
    return str(caught.value).split("; ")


def test_jobs_in_order_with_each_others_outputs() -> None:
    settings = load_settings(None, ["pipeline.out=hdfs://n/runs/1/"])
    assert [(job.name, job.out, job.options) for job in child_jobs(settings)] == [
        ("prepare", "hdfs://n/runs/1/prepared", ()),
        ("train", "hdfs://n/runs/1/run", ("--data", "hdfs://n/runs/1/prepared")),
        (
            "score",
            "hdfs://n/runs/1/scores",
            ("--data", "hdfs://n/runs/1/prepared", "--model", "hdfs://n/runs/1/run/model"),
        ),
        (
            "evaluate",
            "hdfs://n/runs/1/evaluation",
            ("--predictions", "hdfs://n/runs/1/scores", "--data", "hdfs://n/runs/1/prepared"),
        ),
    ]
    some = load_settings(None, ["pipeline.out=/x", "pipeline.steps=[score, evaluate]"])
    assert [job.name for job in child_jobs(some)] == ["score", "evaluate"]
    for change in ("evaluate.data=/other/prepared", "evaluate.pictures=leave_out"):
        (evaluate,) = child_jobs(load_settings(None, ["pipeline.out=/x", "pipeline.steps=[evaluate]", change]))
        assert evaluate.options == ("--predictions", "/x/scores")
    others = load_settings(None, ["pipeline.out=/x", "pipeline.steps=[explore, explain]"])
    assert [(job.name, job.out, job.options) for job in child_jobs(others)] == [
        ("explore", "/x/exploration", ("--data", "/x/prepared")),
        ("explain", "/x/explanation", ("--data", "/x/prepared", "--model", "/x/run/model")),
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("explain.boxes=/nowhere/boxes.csv", "explain.boxes '/nowhere/boxes.csv': no such file"),
        ("explain.only=boxed", "explain.only is boxed, but explain.boxes is not set"),
        ("explain.layers=[layer9]", "resnet50 has no layer 'layer9'"),
        ("evaluate.baseline=/nowhere/scores", "evaluate.baseline /nowhere/scores: no such file"),
        (
            "evaluate.explanations=/nowhere/explained",
            "--explanations file:///nowhere/explained holds no finished output",
        ),
        ("explain.image_list=/nowhere/list.csv", "explain.image_list '/nowhere/list.csv': no such file"),
        ("evaluate.data=/nowhere/prepared", "file:///nowhere/prepared is not a finished prepared dataset"),
    ],
)
def test_what_evaluate_and_explain_need(inputs: list[str], override: str, said: str) -> None:
    every = "pipeline.steps=[prepare, explore, train, score, evaluate, explain]"
    check(*inputs, every)
    with pytest.raises(CxrError) as error:
        check(*inputs, every, override)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "path", "maker", "reader"),
    [
        ("evaluate.explanations", "explanation", "explain", "evaluate"),
        ("explain.image_list", "evaluation/tables/mistakes.csv", "evaluate", "explain"),
    ],
)
def test_what_a_job_makes_for_another_needs_that_order(
    inputs: list[str], tmp_path: Path, name: str, path: str, maker: str, reader: str
) -> None:
    given = f"{name}={tmp_path}/out/{path}"
    check(*inputs, f"pipeline.steps=[prepare, train, score, {maker}, {reader}]", given)
    (found,) = problems(*inputs, f"pipeline.steps=[prepare, train, score, {reader}, {maker}]", given, kind=ConfigError)
    assert found.startswith(f"{name} {tmp_path}/out/{path} is what {maker} makes, which runs after {reader}")


def test_nothing_wrong(inputs: list[str], tmp_path: Path) -> None:
    check(*inputs)
    check(*inputs, f"prepare.images={tmp_path}/ima*/**/*.png")
    assert not (tmp_path / "out").exists()  # to check writes nothing


def test_all_problems_are_told(tmp_path: Path) -> None:
    (tmp_path / "out" / "prepared").mkdir(parents=True)
    (tmp_path / "out" / "prepared" / "thesis.tex").write_text("")
    found = problems(
        f"pipeline.out={tmp_path}/out", "prepare.images=[/nosuch/a, /nosuch/*.png]",
        "prepare.labels=/nosuch/labels.csv", "prepare.test_list=/nosuch/test.txt",
        "model.weights=/nosuch/w.safetensors", "model.freeze={until: nosuch}",
        "train.augmentations=[{random_crop: {size: 100}}]",
    )  # fmt: skip
    told = "\n".join(found)
    for part in (
        "thesis.tex", "prepare.images '/nosuch/a'", "prepare.images '/nosuch/*.png'", "prepare.labels",
        "prepare.test_list", "model.weights", "nosuch", "100 x 100",
    ):  # fmt: skip
        assert part in told
    assert len(found) == len(set(found)) == 8


def test_what_is_not_set(tmp_path: Path) -> None:
    found = problems()
    assert any(text.startswith("pipeline.out is not set") for text in found)
    assert any(text.startswith("prepare.images is not set") for text in found)
    assert any(text.startswith("prepare.labels is not set") for text in found)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model.architecture=resnet5000"], "resnet5000"),
        (["model.input_size=16"], "too small"),
        (["model.architecture=inception_v3", "model.input_size=64"], "too small"),
        (["prepare.size=64", "model.input_size=64", "train.augmentations=[{random_crop: {size: 60}}]"], "60 x 60"),
        (["prepare.size=64", "train.augmentations=[{random_crop: {size: 224}}]"], "augmentations"),
        (["train.augmentations=[nosuch]"], "unknown augmentation 'nosuch'"),
        (["train.augmentations=[{random_crop: {size: 0}}]"], "random_crop"),
        (["model.freeze={until: nosuch}"], "nosuch"),
        (["model.weights=IMAGENET1K_V9"], "IMAGENET1K_V9"),
    ],
)
def test_training_that_cannot_work(inputs: list[str], overrides: list[str], told: str) -> None:
    assert told in " ".join(problems(*inputs, *overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["prepare.size=64", "model.input_size=32"],
        ["prepare.size=256", "train.augmentations=[{random_crop: {size: 224}}, random_horizontal_flip]"],
        ["model.freeze=backbone"],
        ["model.freeze={until: layer3}"],
    ],
)
def test_training_that_works(inputs: list[str], overrides: list[str]) -> None:
    check(*inputs, *overrides)


def test_outputs_among_inputs_are_refused(inputs: list[str], tmp_path: Path) -> None:
    assert "lies in prepare.images" in " ".join(problems(*inputs, f"pipeline.out={tmp_path}/images/out"))
    (tmp_path / "out" / "prepared").mkdir(parents=True)
    (tmp_path / "out" / "prepared" / "_cxr_spark.json").write_text('{"job": "prepare"}')
    (tmp_path / "out" / "prepared" / "x.csv").write_text("")
    found = problems(*inputs, f"prepare.labels={tmp_path}/out/prepared/x.csv")
    assert "lies in --out" in " ".join(found)


def test_what_jobs_that_are_left_out_would_have_made(inputs: list[str], tmp_path: Path) -> None:
    found = problems(*inputs, "pipeline.steps=[score]", kind=CxrError)
    assert any("prepared" in text for text in found)
    assert any("model" in text for text in found)
    assert "predictions" in " ".join(problems(*inputs, "pipeline.steps=[evaluate]"))
    with pytest.raises(DataError, match="not a finished prepared dataset"):
        check(*inputs, "pipeline.steps=[train]")


def test_a_pipeline_needs_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    from cxr_spark.commands.main import main

    assert main(["pipeline"]) == 2
    assert "pipeline needs --config YAML" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "steps_of_it"),
    [
        ("model.weights={out}/run/model", "prepare,train"),
        ("train.mlflow.uri=file://{out}/run/mlflow", "prepare,train"),
        ("evaluate.baseline={out}/evaluation", "evaluate"),
        ("explain.boxes={out}/explanation/boxes.csv", "explain"),
        ("prepare.images={out}/explanation/*", "explain"),
        ("prepare.images={out}/*", "explore"),
    ],
)
def test_overlaps_of_every_job_are_told_before_the_first(
    inputs: list[str], tmp_path: Path, setting: str, steps_of_it: str
) -> None:
    given = setting.replace("{out}", f"{tmp_path}/out")
    found = " ".join(problems(*inputs, given, f"pipeline.steps=[{steps_of_it}]", kind=CxrError))
    name = setting.partition("=")[0]
    assert f"{name} file://{tmp_path}/out" in found
    assert "lies in" in found
    assert not (tmp_path / "out").exists()
