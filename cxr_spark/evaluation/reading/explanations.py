"""Opens the output of the explain job, for a report that shows its maps, and checks that they are of its model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from cxr_spark.errors import DataError, UsageError
from cxr_spark.outputs.done import read_done
from cxr_spark.outputs.own_files import finished_files
from cxr_spark.reporting.images_read import ImagesRead
from cxr_spark.reporting.provenance import Provenance
from cxr_spark.storage.store import NotJsonError, Store
from cxr_spark.storage.typed_json import OutsideModel, Sha256, validated_json
from cxr_spark.tables.explained import EXPLAINED_FOLDER, LOCALIZATION_NAME, METHODS

#: Bytes of a `localization.json` at the most. Real ones have some kilobytes for each finding.
_MAX_BYTES = 64 << 20


def _known_method(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"expected one of {', '.join(METHODS)}: a later version may have made it")
    return method


class _About(OutsideModel):
    """What is read of `localization.json`."""

    model_id: Sha256
    method: Annotated[str, AfterValidator(_known_method)] = "gradcam"


@dataclass(frozen=True)
class Explanations:
    """Finished output of the explain job.

    Attributes:
        store: its folder.
        model_id: SHA-256 of the weights of the explained model.
        method: what its maps are called, such as Grad-CAM.
        files: the names of the files of its record, in order.
        digest: SHA-256 of what decides which maps it has.
        images: the images that were explained; None where that is not known.
    """

    store: Store
    model_id: str
    method: str
    files: tuple[str, ...]
    digest: str
    images: ImagesRead | None = None

    @classmethod
    def open(cls, uri: str) -> Explanations:
        """Opens the output of explain.

        Raises:
            DataError: there is no finished one, or it is damaged or of an earlier version.
            RunError: a file cannot be read.
        """
        store = Store(uri)
        written = finished_files(store, "explain")
        if written is None:
            raise DataError(f"--explanations {uri} holds no finished output of explain: give the --out of that job")
        files = tuple(sorted(name for name in written if name.startswith(f"{EXPLAINED_FOLDER}/")))
        if not files:
            raise DataError(
                f"--explanations {uri} has no record of which finding is in which picture ({EXPLAINED_FOLDER}/): an "
                "earlier version made it; run explain again with --overwrite"
            )
        try:
            told = store.read_bytes(LOCALIZATION_NAME, _MAX_BYTES)
            record = [file for file in store.files(EXPLAINED_FOLDER) if file.name in files]
        except FileNotFoundError:
            raise DataError(
                f"--explanations {uri} lacks files that explain wrote: run it again with --overwrite"
            ) from None
        about = validated_json(_About, told, f"{store.uri_of(LOCALIZATION_NAME)} is not what explain writes")
        listed = "".join(f"{file.name}\0{file.size}\0{file.modified}\n" for file in record)
        digest = hashlib.sha256(told + listed.encode("utf-8", "surrogateescape")).hexdigest()
        return cls(store, about.model_id, METHODS[about.method], files, digest, _images_of(store))

    def is_of(self, model_id: str | None) -> bool:
        """Whether the maps are of the model, or of one of the models, that made predictions.

        Args:
            model_id: what the predictions say; of several models all are in it, with `+` between them.
        """
        return self.model_id in models_of(model_id)

    def check_scores(self, scores: Provenance) -> None:
        """Refuses maps that are not of the model that made the predictions, where these tell which one that is.

        Args:
            scores: what is known of the predictions.

        Raises:
            UsageError: it is another one, or each image was scored by a model of its own fold.
        """
        if scores.is_out_of_fold:
            raise UsageError(
                f"--explanations {self.store.uri}: the predictions are out-of-fold scores, for which each image was "
                f"scored by the model of its own fold, and the maps are all of model {self.model_id[:12]}: leave out "
                "--explanations, or score and explain other images by one model"
            )
        if scores.model_id is not None and not self.is_of(scores.model_id):
            raise UsageError(f"--explanations {self.store.uri}: {self.told_other(scores.model_id)}")

    def doubts(self, model_id: str | None, scored: ImagesRead | None) -> list[str]:
        """Says why maps of the right model may still not show what is behind the scores, in sentences for the report.

        Args:
            model_id: the model, or the models, that the predictions say made them.
            scored: the images of the predictions; None where they are not known.
        """
        told = []
        models = len(models_of(model_id))
        if models > 1:
            told.append(
                f"the maps are of model {self.model_id[:12]} alone, one of the {models} models that made the scores "
                "together: they show what moved this model, and may not show what moved the others"
            )
        if self.images is not None and scored is not None:
            other = self.images.told_other(scored, "maps", "predictions")
            told += [] if other is None else [other]
        return told

    def told_other(self, model_id: str | None) -> str:
        """Says that the maps are of another model than the predictions, or that these do not tell of which."""
        if model_id is None:
            return (
                f"the maps are of model {self.model_id[:12]}, and the predictions do not name theirs: make sure that "
                "it is the same"
            )
        return (
            f"the maps are of model {self.model_id[:12]}, the predictions of {model_id[:12]}: explain the model that "
            "made them"
        )


def models_of(model_id: str | None) -> list[str]:
    """Returns the models that predictions name together."""
    return [] if model_id is None else model_id.split("+")


def _images_of(store: Store) -> ImagesRead | None:
    """Returns the images that were explained; None where the job's mark of its end does not tell them."""
    try:
        return ImagesRead.of(read_done(store).inputs)
    except (FileNotFoundError, NotJsonError, DataError):
        return None
