"""The shipped settings files: each passes `pipeline --check` and says what the work that it repeats did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxr_spark.commands.main import main
from cxr_spark.config import Settings, load_settings
from cxr_spark.models.architectures import build_empty
from cxr_spark.models.freezing import freeze, layer_names
from cxr_spark.training.balance import class_weights

CONF = Path(__file__).resolve().parents[3] / "conf"
SEEDS = ("nih_resnet50", "chexpert_densenet121", "covid_vgg16", "kermany_small_cnn", "rsna_resnet101")
SHIPPED = sorted(path.name for path in CONF.glob("*.yaml"))


def settings_of(name: str, *changes: str) -> Settings:
    return load_settings(str(CONF / name), changes)


def frozen(settings: Settings) -> tuple[list[str], list[str]]:
    """Names of the frozen and of the trained layers."""
    module = build_empty(settings.model.architecture, 4, hidden=settings.model.hidden)
    held = freeze(module, settings.model.freeze)
    return held, [name for name in layer_names(module) if name not in held]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_pipeline_passes_its_check(name: str, tmp_path: Path, capsys: Any) -> None:
    """Only what belongs to the user's machine is replaced: paths and the pretrained weights."""
    prepare = settings_of(name).prepare
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").touch()
    changes = [f"prepare.images={tmp_path}/images", f"pipeline.out={tmp_path}/out", "model.weights=random"]
    if prepare.labels:
        changes.append(f"prepare.labels=[{', '.join([f'{tmp_path}/labels.csv'] * len(prepare.labels))}]")
    if settings_of(name).explain.boxes:
        changes.append(f"explain.boxes={tmp_path}/labels.csv")
    command = ["pipeline", "--config", str(CONF / name), "--check", *(f"--set={change}" for change in changes)]
    assert main(command) == 0, capsys.readouterr().err
    assert main([*command, "--set=model.freeze={until: nosuch}"]) == 2


def test_every_seed_system_has_its_settings() -> None:
    assert {f"{name}.yaml" for name in SEEDS} <= set(SHIPPED)


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_explore_and_explain(name: str) -> None:
    assert {"explore", "explain"} <= set(settings_of(f"{name}.yaml").pipeline.steps)


def test_chexpert_trains_all_of_densenet_and_draws_rare_observations_more_often() -> None:
    settings = settings_of("chexpert_densenet121.yaml")
    assert (settings.model.architecture, settings.train.balancing) == ("densenet121", "upsample")
    assert frozen(settings)[0] == []
    assert settings.prepare.uncertain is not None
    transfer = settings_of("chexpert_densenet121.yaml", "model.freeze=backbone")
    assert frozen(transfer)[1] == ["classifier.output"]


def test_covid_has_both_strategies() -> None:
    first = settings_of("covid_vgg16.yaml")
    assert (first.model.task, first.prepare.dataset) == ("single_label", "folder")
    held, trained = frozen(first)
    assert len(held) == 15  # 13 convolutions, two dense layers
    assert trained == ["classifier.6.hidden0", "classifier.6.output"]
    second = settings_of("covid_vgg16.yaml", "model.freeze=none", "train.learning_rate=1e-5")
    assert frozen(second)[0] == []
    assert second.train.learning_rate < first.train.learning_rate / 10


def test_kermany_has_its_network_and_its_class_weights() -> None:
    settings = settings_of("kermany_small_cnn.yaml")
    assert (settings.prepare.size, settings.model.input_size) == (300, 300)
    module = build_empty(settings.model.architecture, 1, dropout=settings.model.dropout)
    trained = sum(parameter.numel() for parameter in module.parameters())
    statistics = sum(b.numel() for name, b in module.named_buffers() if not name.endswith("num_batches_tracked"))
    assert (trained + statistics, trained) == (7_352_017, 7_347_985)
    normal, pneumonia = 1684, 4808
    its_own = [5843 / (2 * count) for count in (normal, pneumonia)]
    assert its_own == pytest.approx([1.73, 0.61], abs=0.005)
    assert settings.train.class_weights["PNEUMONIA"] == pytest.approx(0.61 / 1.73, abs=1e-4)
    assert set(settings.train.early_stop.targets) == {"val_accuracy", "val_loss"}
    # Without a weight of its own: the same ratio, of the images that there are.
    labels = np.repeat([[0.0], [1.0]], [normal, pneumonia], axis=0).astype(np.float32)
    assert class_weights("multi_label", labels, ["PNEUMONIA"], {}) == pytest.approx(normal / pneumonia)
    both = np.eye(2, dtype=np.float32)[labels[:, 0].astype(int)]
    assert class_weights("single_label", both, ["N", "P"], {}) == pytest.approx([1.93, 0.68], abs=0.006)


def test_rsna_puts_the_training_auc_beside_that_of_the_test_images() -> None:
    settings = settings_of("rsna_resnet101.yaml")
    assert (settings.score.split, settings.evaluate.split) == ("all", "test")


def test_rsna_freezes_by_name_and_takes_exact_numbers() -> None:
    settings = settings_of("rsna_resnet101.yaml")
    held, trained = frozen(settings)
    assert held[-1].startswith("layer3.")
    assert trained[0].startswith("layer4.")
    assert settings.prepare.sample == {"Pneumonia": 1000, "none": 1000}
    other = settings_of("rsna_resnet101.yaml", "model.architecture=densenet121", "model.freeze={last: 30}")
    assert len(frozen(other)[1]) == 30
    assert settings_of("rsna_resnet101.yaml", "prepare.sample={}").prepare.sample == {}
