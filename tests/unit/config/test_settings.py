"""Settings: defaults, files and overrides; and what is refused, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cxr_spark.config import Settings, load_settings
from cxr_spark.config.yaml_12 import parse_yaml
from cxr_spark.errors import ConfigError
from tests.support.settings_files import loaded

ROOT = Path(__file__).resolve().parents[3]


def refusal(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_defaults_need_no_file() -> None:
    assert load_settings(None) == Settings()


def test_later_ones_win(tmp_path: Path) -> None:
    text = "train: {epochs: 3, global_batch: 8}\nmodel: {architecture: vgg16}"
    found = loaded(tmp_path, text, "train.epochs=4", "train.epochs=5")
    assert (found.train.epochs, found.train.global_batch) == (5, 8)
    assert found.model.architecture == "vgg16"
    assert found.updated({"train.epochs": 6, "train.global_batch": None}).train.epochs == 6
    assert found.updated({"train.global_batch": None}).train.global_batch == 8


@pytest.mark.parametrize("name", ["demo.yaml", "nih_resnet50.yaml"])
def test_the_files_that_are_shipped(name: str) -> None:
    load_settings(str(ROOT / "conf" / name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 0.0001), ("1E-4", 0.0001), ("1.0e-4", 0.0001), ("-.5", -0.5), ("3", 3), ("010", 10), ("0x10", 16),
        ("1_000", 1000), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        # Text by YAML 1.2, though older readers make booleans, minutes and dates of it.
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("12:30", "12:30"), ("2024-01-01", "2024-01-01"),
        ("2024-13-45", "2024-13-45"), ("'3'", "3"), ("1.0.0", "1.0.0"), ("1e", "1e"), ("=", "="),
        ("[a, {b: 1}]", ["a", {"b": 1}]), ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
        ("{<<: {a: 1}, b: 2}", {"a": 1, "b": 2}), ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_yaml_words(text: str, expected: object) -> None:
    found = parse_yaml(text)
    assert found == expected
    assert type(found) is type(expected)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_settings(str(tmp_path / "nothing.yaml"))
    with pytest.raises(ConfigError, match="Is a directory"):
        load_settings(str(tmp_path))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "train:\n", "train:\n  schedule:\n"])
def test_empty_files_and_groups_are_the_defaults(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) == Settings()
    assert loaded(tmp_path, text, "train.schedule.kind=cosine").train.schedule.kind == "cosine"


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("trian.epochs=3", "unknown setting 'trian': did you mean 'train'?"),
        ("train.epoch=3", "unknown setting 'train.epoch': did you mean 'train.epochs'?"),
        ("learning_rate=1", "did you mean 'train.learning_rate'?"),
        ("train.input_size=64", "did you mean 'model.input_size'?"),
        ("train.schedule.warmup_epoch=1", "did you mean 'train.schedule.warmup_epochs'?"),
        ("score.xyzzy=1", "known here: split, batch"),
        ("1=2", "known here: prepare"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest_known(override: str, hint: str) -> None:
    assert hint in refusal(override)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("train.epochs=0", "train.epochs=0: expected greater than or equal to 1"),
        ("train.epochs=3.5", "train.epochs=3.5"),
        ("train.epochs=true", "train.epochs=True: expected no true or false"),
        ("model.dropout=false", "expected no true or false"),
        ("model.hidden=[8, true]", "expected no true or false"),
        ("prepare.labels=true", "put the word in quotes"),
        ("prepare.labels=2017", "expected a list"),
        ("prepare.train_list=2017", "expected a text"),
        ("prepare.subset={age: [90, 18]}", "expected the lower age first"),
        ("prepare.subset.view_position=LL", "view_position"),
        ("prepare.sample={Mass: -1}", "prepare.sample"),
        ("prepare.uncertain=maybe", "prepare.uncertain='maybe'"),
        ("train.epochs=", "train.epochs=None"),
        ("train.epochs.x=3", "train.epochs={'x': 3}"),
        ("train=3", "train=3: expected a group of settings"),
        ("train.learning_rate=.nan", "finite"),
        ("train.learning_rate=1e999", "finite"),
        ("train.seed=99999999999999999999", "train.seed"),
        ("train.seed=-1", "train.seed=-1"),
        ("model.freeze={foo: 1}", "{until: LAYER} or {last: N}"),
        ("model.hidden=512", "expected a list"),
        ("pipeline.steps=[]", "pipeline.steps"),
        ("pipeline.spark.trian.spark.x=1", "'trian'"),
        ("=3", "expected section.name=value"),
        ("train.epochs", "expected section.name=value"),
        ("", "expected section.name=value"),
    ],
)
def test_values_that_do_not_fit_are_quoted(override: str, told: str) -> None:
    assert told in refusal(override)


def test_a_value_under_a_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.epochs is a value, not a group of settings"):
        loaded(tmp_path, "train: {epochs: 3}", "train.epochs.x=1")


def test_all_that_is_wrong_is_told_at_once() -> None:
    message = refusal("train.epochs=0", "model.dropout=2", "nosuch=1", "prepare.size=huge")
    assert all(name in message for name in ("train.epochs=0", "model.dropout=2", "'nosuch'", "prepare.size='huge'"))
    assert message.count("prepare.size") == 1


def test_hostile_values_are_cut_short() -> None:
    message = refusal(f"prepare.size={'x' * 10_000}", f"train.epochs={[1] * 1000}")
    assert len(message) < 1000


def test_ranks_share_a_batch_evenly() -> None:
    assert "use 6 or 8" in refusal("train.global_batch=7", "train.workers=2")
    assert "use 4 " in refusal("train.global_batch=3", "train.workers=4")


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("train.learning_rate=1e-4", "train.learning_rate", 1e-4),
        ("train.epochs='3'", "train.epochs", 3),
        ("train.epochs=3.0", "train.epochs", 3),
        ("train.threads_per_worker=", "train.threads_per_worker", None),
        ("prepare.labels=no", "prepare.labels", ("no",)),
        ("prepare.labels=a=b", "prepare.labels", ("a=b",)),
        ("prepare.labels=[a, b]", "prepare.labels", ("a", "b")),
        ("prepare.subset={view_position: PA}", "prepare.subset.view_position", ("PA",)),
        ("prepare.subset={age: [18, 90.5]}", "prepare.subset.age", (18, 90.5)),
        ("prepare.uncertain={Edema: ones}", "prepare.uncertain", {"Edema": "ones"}),
        ("prepare.images=/data/*.png", "prepare.images", ("/data/*.png",)),
        ("prepare.images=*.png", "prepare.images", ("*.png",)),  # not YAML: an alias without its anchor
        ("prepare.images=[/a, '/b c']", "prepare.images", ("/a", "/b c")),
        ("model.freeze={until: layer3}", "model.freeze", {"until": "layer3"}),
        ("model.freeze={last: 2}", "model.freeze", {"last": 2}),
        ("train.augmentations=[]", "train.augmentations", ()),
        ("train.augmentations=[random_horizontal_flip]", "train.augmentations", ("random_horizontal_flip",)),
        ("pipeline.spark.train.spark.task.cpus=8", "pipeline.spark", {"train": {"spark.task.cpus": "8"}}),
        ("pipeline.spark.all={spark.x: true}", "pipeline.spark", {"all": {"spark.x": "true"}}),
        (" train.epochs =3", "train.epochs", 3),
    ],
)
def test_set(override: str, path: str, expected: object) -> None:
    value: Any = load_settings(None, [override])
    for name in path.split("."):
        value = getattr(value, name)
    assert value == expected


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().train.epochs = 3  # type: ignore[misc]


def test_what_show_prints_can_be_read_again(tmp_path: Path) -> None:
    given_ones = load_settings(None, ["train.epochs=3", "prepare.images=[/a]", "model.freeze={last: 2}"])
    assert loaded(tmp_path, yaml.safe_dump(given_ones.model_dump(mode="json"))) == given_ones


def test_every_setting_has_a_meaning() -> None:
    schema = Settings.model_json_schema()
    for name, group in {"Settings": schema, **schema["$defs"]}.items():
        assert group.get("description"), name
        for key, setting in group["properties"].items():
            assert setting.get("description") or "$ref" in setting, f"{name}.{key}"


@pytest.mark.parametrize(
    ("given", "split"), [("val,test", "val,test"), ("[val, test]", "val,test"), ("all", "all"), ("train", "train")]
)
def test_several_splits_to_score(given: str, split: str) -> None:
    assert load_settings(None, [f"score.split={given}"]).score.split == split


@pytest.mark.parametrize("given", ["validation", "val,val", "all,test", "''", "[]", "3"])
def test_splits_that_there_are_not(given: str) -> None:
    with pytest.raises(ConfigError, match=r"score\.split"):
        load_settings(None, [f"score.split={given}"])


def test_a_batch_that_cannot_be_cut_into_equal_parts_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"global_batch 10 does not divide by train\.workers 3: use 9 or 12"):
        load_settings(None, ["train.global_batch=10", "train.workers=3"])
    with pytest.raises(ConfigError, match=r"train\.workers 2 times train\.accumulate 3: use 6 or 12"):
        load_settings(None, ["train.global_batch=10", "train.workers=2", "train.accumulate=3"])
    assert load_settings(None, ["train.global_batch=12", "train.workers=2", "train.accumulate=3"]).train.accumulate == 3


def test_a_wrong_argument_is_told_by_its_name_alone():
    """Settings are replaced by options of the command line and by arguments of functions: the message fits both."""
    with pytest.raises(ConfigError) as told:
        Settings().updated({"train.epochs": 0})
    assert str(told.value).startswith("train.epochs=0: ")
