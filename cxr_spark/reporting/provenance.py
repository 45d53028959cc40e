"""Finds out whether images are synthetic, and which model scored them, from what earlier jobs left beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cxr_spark.errors import CxrError
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.outputs.own_files import finished_files
from cxr_spark.reporting.images_read import ImagesRead
from cxr_spark.storage.store import Store, parent_and_name
from cxr_spark.tables.notice import NOTICE_NAME
from cxr_spark.tables.prepared import MANIFEST_NAME


@dataclass(frozen=True)
class Provenance:
    """What the score job says of predictions. Nothing is known of predictions that another tool made.

    Attributes:
        summary: the result of the score job; empty where it is not known.
        manifest: the manifest of the prepared data that the score job read; empty where it is not known.
        inputs: the settings and inputs of the score job; empty where they are not known.
    """

    summary: dict[str, Any]
    manifest: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, predictions: str) -> Provenance:
        """Reads what the score job left beside its predictions. What cannot be read is taken as not known.

        Args:
            predictions: the URI of predictions: a folder, or a file that the score job wrote into one.
        """
        done = _json(predictions, DONE_NAME) or _done_of_file(predictions)
        inputs = _object(done, "inputs")
        return cls(_object(done, "summary"), _json(inputs.get("data"), MANIFEST_NAME), inputs)

    def is_synthetic(self, labels: Sequence[str] = ()) -> bool:
        """Whether the labels of the prepared data, or other label files, lie beside the notice of the sample-data job.

        Args:
            labels: the URIs of other label files.

        Returns:
            True where a notice is found. False also where the files that would tell are gone.
        """
        told = _object(self.manifest, "sources").get("labels")
        return beside_notice([*labels, *(told if isinstance(told, list) else [told])])

    def model(self, model_id: str | None) -> dict[str, Any] | None:
        """Returns what the score job says of the model, see `models.description`; None where it does not say.

        Args:
            model_id: the model that the rows of the predictions name; what is said of another one is not taken.
        """
        return _object(self.summary, "model") or None if self.summary.get("model_id") == model_id else None

    @property
    def model_id(self) -> str | None:
        """The `model_id` of the models that made the predictions; None where the score job does not say."""
        found = self.summary.get("model_id")
        return found if isinstance(found, str) else None

    @property
    def is_out_of_fold(self) -> bool:
        """Whether each image was scored by the one model of a cross-validation that has not seen it."""
        model = _object(self.summary, "model")
        return any(model.get(name) is not None for name in ("models_by_fold", "folds"))

    @property
    def images(self) -> ImagesRead | None:
        """The images that were scored; None where that is not known."""
        return ImagesRead.of(self.inputs)

    @property
    def warnings(self) -> list[str]:
        """What the score job says against its own scores, such as that a model was trained on their images."""
        return _texts(self.summary.get("warnings"))

    @property
    def splits_trained_on(self) -> list[str]:
        """The splits of the scores, as the score job names them, that a model of a cross-validation was trained on."""
        return _texts(self.summary.get("splits_trained_on"))

    @property
    def prepared(self) -> dict[str, Any]:
        """What the manifest says of the prepared data, as far as it is there.

        These are `dataset` and `split`, in words; and `splits`: of each its counts, `images` and `patients` among them.
        """
        found = self.manifest
        told: dict[str, Any] = {name: found[name] for name in ("dataset", "split") if isinstance(found.get(name), str)}
        splits = found.get("splits")
        if isinstance(splits, dict):
            told["splits"] = {name: split for name, split in splits.items() if _counts(split)}
        return told


def beside_notice(labels: Sequence[Any]) -> bool:
    """Whether one of some label files, named by their URIs, lies beside the notice of the sample-data job."""
    return any(_has_notice(source) for source in labels if isinstance(source, str))


def _done_of_file(predictions: str) -> dict[str, Any]:
    """Returns the mark of the score job in whose folder a file lies; an empty object where the job did not write it."""
    try:
        folder, name = parent_and_name(predictions)
        written = finished_files(folder, "score") or ()
    except (CxrError, OSError):
        return {}
    return _json(folder.uri, DONE_NAME) if name in written else {}


def _texts(told: Any) -> list[str]:
    return [text for text in told if isinstance(text, str)] if isinstance(told, list) else []


def _counts(split: Any) -> bool:
    return isinstance(split, dict) and all(isinstance(split.get(name), int) for name in ("images", "patients"))


def _json(uri: Any, name: str) -> dict[str, Any]:
    """Returns the object in a JSON file; an empty object where there is none."""
    if not isinstance(uri, str):
        return {}
    try:
        value = Store(uri).read_json(name)
    except (CxrError, OSError):
        return {}
    return value if isinstance(value, dict) else {}


def _object(found: dict[str, Any], key: str) -> dict[str, Any]:
    """Returns an object within an object; an empty object where there is none."""
    value = found.get(key)
    return value if isinstance(value, dict) else {}


def _has_notice(labels: str) -> bool:
    try:
        return parent_and_name(labels)[0].exists(NOTICE_NAME)
    except CxrError:
        return False
