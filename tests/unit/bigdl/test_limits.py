"""What BigDL cannot do is refused by name, before any work, with what to use instead."""

from __future__ import annotations

import pytest

from cxr_spark.bigdl.engine import installation
from cxr_spark.bigdl.engine.installation import check_installation
from cxr_spark.bigdl.engine.session import Cluster, session_settings, submit_flags
from cxr_spark.bigdl.limits import check_batch, check_message, check_settings
from cxr_spark.commands.main import main
from cxr_spark.config import TrainSettings, load_settings
from cxr_spark.errors import ConfigError, UsageError

FITTING = {"pyspark": "3.5.9", "numpy": "1.26.4", "bigdl-dllib-spark3": "2.5.0b20240324", "bigdl-core": "2.4.0.dev0"}


def settings(*overrides):
    return load_settings(None, ["train.backend=bigdl", *overrides])


def test_the_defaults_are_fine():
    check_settings(settings())
    check_settings(settings("model.architecture=googlenet", "train.optimizer=sgd", "train.schedule.warmup_epochs=1"))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.architecture=densenet121", "use one of resnet50, resnet50_v1, resnet101, googlenet"),
        ("train.optimizer=rmsprop", "train.optimizer=rmsprop is not there: use adam or sgd"),
        ("train.accumulate=2", "train.accumulate=2: it adds up no gradients over parts: leave it at 1"),
        ("train.loss=focal", "train.loss=focal is not there: use bce"),
        ("train.label_smoothing=0.1", "train.label_smoothing=0.1: its labels are not smoothed: leave it at 0"),
        ("train.clip_norm=1.5", "train.clip_norm=1.5: its gradients are not clipped: leave it at 0"),
        ("train.ema_decay=0.999", "train.ema_decay=0.999: it keeps no average of the weights: leave it at 0"),
        ("train.mixup=0.2", "train.mixup=0.2: its images are not blended: leave it at 0"),
        ("train.layer_decay=0.75", "train.layer_decay=0.75: it has one learning rate: leave it at 1"),
        ("model.stochastic_depth=0.1", "model.stochastic_depth=0.1: it leaves out no blocks: leave it unset"),
        ("train.schedule.kind=one_cycle", "use plateau or constant"),
        ("train.mlflow.uri=http://host:5000", "train.mlflow is not tried with it: leave it out"),
        ("train.precision=bf16", "use auto or fp32"),
        ("train.workers=2", "spark.executor.instances"),
        ("train.threads_per_worker=4", "spark.executor.cores"),
        ("train.schedule.kind=cosine", "use plateau or constant"),
        ("train.schedule.warmup_epochs=1", "set it to 0, or use sgd"),
    ],
)
def test_what_it_cannot_do_is_refused(override, told):
    with pytest.raises(ConfigError, match=r"use train\.backend=torch") as caught:
        check_settings(settings(override))
    assert told in str(caught.value)


def test_mkldnn_does_not_freeze():
    with pytest.raises(ConfigError, match=r"train\.bigdl_engine=mklblas"):
        check_settings(settings("train.bigdl_engine=mkldnn", "model.freeze=backbone"))


def test_googlenet_needs_images_that_bigdl_can_pool():
    with pytest.raises(ConfigError, match=r"model\.input_size=32"):
        check_settings(settings("model.architecture=googlenet", "model.input_size=32"))


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError, match=r"rmsprop.*bf16"):
        check_settings(settings("train.optimizer=rmsprop", "train.precision=bf16"))


def test_the_command_refuses_before_spark_starts(tmp_path, capsys):
    (tmp_path / "manifest.json").write_text('{"findings": ["Mass"], "size": 32, "splits": {"train": {"images": 1}}}')
    options = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--backend", "bigdl"]
    assert main(["train", *options, "--set", "model.architecture=vgg16"]) == 2
    assert "model.architecture=vgg16 is not built in BigDL" in capsys.readouterr().err


def test_a_batch_must_divide_by_the_copies_of_the_network():
    check_batch(TrainSettings(global_batch=64), Cluster(nodes=4, cores=8, replicas=8))
    with pytest.raises(ConfigError, match=r"4 executors with 6 each\): use 48 or 72"):
        check_batch(TrainSettings(global_batch=64), Cluster(nodes=4, cores=6, replicas=6))


def test_what_the_optimiser_remembers_must_fit_into_a_message():
    check_message(25_000_000, TrainSettings(), 1, "local[4]", {})
    check_message(25_000_000, TrainSettings(), 4, "yarn", {})
    check_message(25_000_000, TrainSettings(), 1, "yarn", {"spark.rpc.message.maxSize": "512"})
    with pytest.raises(ConfigError, match=r"--conf spark\.rpc\.message\.maxSize=\d{3}"):
        check_message(25_000_000, TrainSettings(), 1, "yarn", {})


@pytest.mark.parametrize(
    ("package", "version", "told"),
    [
        ("pyspark", "4.0.1", "pip install 'pyspark==3.*'"),
        ("numpy", "2.2.0", "pip install 'numpy==1.*'"),
        ("bigdl-dllib-spark3", None, "pip install --no-deps six bigdl-core"),
        ("bigdl-core", None, "needs the package bigdl-core, which is not installed"),
    ],
)
def test_packages_that_do_not_fit_give_one_clear_error(monkeypatch, package, version, told):
    monkeypatch.setattr(installation, "_version", {**FITTING, package: version}.get)
    with pytest.raises(UsageError) as caught:
        check_installation()
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_packages_that_fit_are_taken(monkeypatch):
    monkeypatch.setattr(installation, "_version", FITTING.get)
    check_installation()


def test_the_users_own_spark_settings_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr("cxr_spark.bigdl.engine.session.jars", lambda: [tmp_path / "a.jar", tmp_path / "b.jar"])
    given = {
        "spark.jars": "own.jar",
        "spark.driver.extraJavaOptions": "-Xss4m",
        "spark.driver.memory": "9g",
        "spark.x": "1",
    }
    made = session_settings("mkldnn", given)
    assert made["spark.jars"] == f"own.jar,{tmp_path}/a.jar,{tmp_path}/b.jar"
    assert made["spark.driver.extraJavaOptions"] == "-Xss4m -Dbigdl.engineType=mkldnn"
    assert made["spark.executor.extraJavaOptions"] == "-Dbigdl.engineType=mkldnn"
    assert (made["spark.driver.memory"], made["spark.x"]) == ("9g", "1")
    assert "--jars $(cxr-spark bigdl-jars)" in submit_flags("mkldnn")
