from __future__ import annotations

from cxr_spark.models.description import described
from cxr_spark.models.metadata import ModelMetadata, Preprocessing


def metadata(**changes: object) -> ModelMetadata:
    parts = {
        "architecture": "resnet50_v1",
        "findings": ["Mass"],
        "preprocessing": Preprocessing(input_size=224, stored_size=224),
    }
    return ModelMetadata.model_validate({**parts, **changes})


def test_a_trained_model_is_described_by_its_training() -> None:
    training = {"data": "file:///p", "model": {"weights": "w.safetensors"}, "train": {"precision": "fp32"}}
    assert described(metadata(training=training, metrics={"epoch": 7, "val_loss": 0.1})) == {
        "architecture": "resnet50_v1",
        "weights": "w.safetensors",
        "epoch": 7,
        "data": "file:///p",
        "precision": "fp32",
        "input_size": 224,
    }


def test_what_is_not_known_of_a_model_is_left_out() -> None:
    assert described(metadata()) == {"architecture": "resnet50_v1", "input_size": 224}
    assert described(metadata(training={"train": 3, "data": ["x"]}))["input_size"] == 224
