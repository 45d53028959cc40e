"""Airflow: the night's new images are scored, and once a month a model is retrained on all data.

Needs apache-airflow with the Apache Spark provider, and a connection `spark_default` (host yarn, or spark://master:7077;
deploy mode cluster). Both DAGs may be cleared and run again at any time: finished work is recognised, half-done work is
gone on with.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow import DAG
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

HOME = "/opt/cxr-spark"
ARCHIVE = "hdfs:///apps/cxr/env.tar.gz#environment"
DATA = "hdfs:///data/nih"

DEFAULTS = {
    "owner": "cxr",
    # 4: the run failed, such as by a lost cluster; again, it goes on. 2 and 3 (usage, data) fail again at once.
    "retries": 2,
    "retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=12),
}


def job(name: str, *arguments: str, executors: int, task_id: str | None = None, **conf: str) -> SparkSubmitOperator:
    """Returns the task that submits one job.

    Args:
        name: of the job.
        arguments: its options.
        executors: how many.
        task_id: default the job's name.
        conf: more Spark settings, with `__` for a dot.
    """
    settings = {key.replace("__", "."): value for key, value in conf.items()}
    return SparkSubmitOperator(
        task_id=task_id or name,
        application=f"{HOME}/jobs/{name}.py",
        application_args=list(arguments),
        archives=ARCHIVE,
        properties_file=f"{HOME}/conf/spark/yarn.conf",
        num_executors=executors,
        conf=settings,
        name=f"cxr-{name}",
    )


with DAG(
    "cxr_nightly_scores",
    schedule="15 2 * * *",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,  # the second of two runs on one output would be refused
    default_args=DEFAULTS,
) as nightly:
    job(
        "score", "--incremental", "--images", "hdfs:///incoming", "--model", "hdfs:///models/current",
        "--out", "hdfs:///scores", executors=8,
    )  # fmt: skip


with DAG(
    "cxr_monthly_training",
    schedule="0 6 1 * *",
    start_date=datetime(2024, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
) as monthly:
    ROOT = "hdfs:///runs/{{ ds }}"
    prepare = job(
        "prepare", "--images", DATA, "--labels", f"{DATA}/Data_Entry_2017.csv", "--out", f"{ROOT}/prepared",
        executors=100,
    )  # fmt: skip
    train = job(
        "train", "--data", f"{ROOT}/prepared", "--out", f"{ROOT}/run", "--workers", "16",
        "--config", f"{HOME}/conf/nih_resnet50.yaml", "--set", "train.global_batch=1024",
        "--set", "model.weights=hdfs:///models/resnet50_imagenet.safetensors",
        executors=16, spark__task__cpus="4", spark__executor__memoryOverhead="8g",
    )  # fmt: skip
    score = job(
        "score", "--data", f"{ROOT}/prepared", "--model", f"{ROOT}/run/model", "--out", f"{ROOT}/scores", executors=16
    )
    evaluate = job("evaluate", "--predictions", f"{ROOT}/scores", "--out", f"{ROOT}/evaluation", executors=4)
    prepare >> train >> score >> evaluate
