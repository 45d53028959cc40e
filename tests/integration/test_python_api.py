"""The jobs as functions, in one Python session: the examples of docs/python_api.md, and what users may rely on."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

import cxr_spark
from cxr_spark.errors import ConfigError, UsageError
from cxr_spark.sample_data.writer import write_sample_data
from cxr_spark.storage.store import Store
from cxr_spark.tables.prepared import PreparedDataset

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python_api.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    write_sample_data(Store(f"file://{folder}/xrays"), 60, 64, 42)
    return folder


def settings_of(session) -> dict[str, str]:
    return {row["key"]: row["value"] for row in session.sql("SET").collect()}


def test_the_examples_of_the_page_are_right_and_leave_the_session_as_it_was(spark, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = settings_of(spark)
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 15
    assert found.failed == 0
    columns = doctest.testfile(str(PAGE.with_name("scores.md")), module_relative=False)  # of the scores made above
    assert (columns.attempted, columns.failed) == (3, 0)
    changed = {k: v for k, v in settings_of(spark).items() if before.get(k) != v}
    if spark.version.startswith("3."):  # there `transform` lowers it: Spark 3.5 has no limit of a batch's bytes
        changed.pop("spark.sql.execution.arrow.maxRecordsPerBatch", None)
    assert changed == {}
    assert spark.sparkContext._jsc is not None  # it still runs


def test_a_job_leaves_the_session_as_it_was(spark, folder):
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    before = settings_of(spark)
    prepared = str(folder / "prepared_by_function")
    result = cxr_spark.prepare(images=[f"{folder}/xrays"], labels=f"{folder}/xrays/Data_Entry_2017.csv", out=prepared)
    explored = cxr_spark.explore(data=prepared, out=str(folder / "explored"))
    assert explored.images == result.splits
    assert settings_of(spark) == before
    assert (
        cxr_spark.prepare(  # found, not done again
            images=[f"{folder}/xrays"], labels=f"{folder}/xrays/Data_Entry_2017.csv", out=prepared
        )
        == result
    )
    with pytest.raises(UsageError, match="finished output of other settings"):
        cxr_spark.prepare(
            images=[f"{folder}/xrays"], labels=f"{folder}/xrays/Data_Entry_2017.csv", out=prepared, seed=1
        )


def test_a_pipeline_runs_the_jobs_of_a_file(folder, tmp_path):
    """Each job is a process with a JVM of its own, so this runs one job alone."""
    settings = tmp_path / "pipeline.yaml"
    settings.write_text(
        f"prepare: {{images: {folder}/xrays, labels: {folder}/xrays/Data_Entry_2017.csv, split: patient}}\n"
        f"pipeline: {{out: {tmp_path}/out, steps: [prepare], spark: {{all: {{spark.driver.memory: 1g}}}}}}\n"
    )
    checked = cxr_spark.pipeline(config=str(settings), check=True)
    assert checked.summaries == {}
    assert not (tmp_path / "out").exists()
    result = cxr_spark.pipeline(config=str(settings), prepare={"size": 32})
    assert result.summaries["prepare"]["prepared"] == 60
    assert PreparedDataset.open(f"file://{tmp_path}/out/prepared").size == 32
    with pytest.raises(ConfigError, match=r"epocs=\.\.\.: expected a group of settings, one of prepare, explore"):
        cxr_spark.pipeline(config=str(settings), epocs={})


def test_settings_as_dicts_win_over_the_file_and_options_over_both(tmp_path):
    from cxr_spark.python_api.settings import settings_of as read

    (tmp_path / "s.yaml").write_text("train: {epochs: 2, schedule: {patience: 7}, global_batch: 8}")
    settings = read(str(tmp_path / "s.yaml"), {"train": {"epochs": 3, "schedule": {"kind": "cosine"}}})
    assert (settings.train.epochs, settings.train.global_batch) == (3, 8)
    assert (settings.train.schedule.kind, settings.train.schedule.patience) == ("cosine", 7)
    with pytest.raises(ConfigError, match=r"did you mean 'train\.epochs'"):
        read(None, {"train": {"epocs": 3}})
    with pytest.raises(ConfigError, match="train=3: expected a dict of settings"):
        read(None, {"train": 3})
