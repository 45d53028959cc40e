"""Opens the output of the explain job, for a report that shows its maps, and checks that they are of its model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cxr_spark.errors import DataError, UsageError
from cxr_spark.outputs.own_files import finished_files
from cxr_spark.storage.store import Store
from cxr_spark.storage.typed_json import OutsideModel, Sha256, validated_json
from cxr_spark.tables.explained import EXPLAINED_FOLDER, LOCALIZATION_NAME, METHODS

#: Bytes of a `localization.json` at the most. Real ones have some kilobytes for each finding.
_MAX_BYTES = 64 << 20


class _About(OutsideModel):
    """What is read of `localization.json`."""

    model_id: Sha256
    method: str = "gradcam"


@dataclass(frozen=True)
class Explanations:
    """Finished output of the explain job.

    Attributes:
        store: its folder.
        model_id: SHA-256 of the weights of the explained model.
        method: what its maps are called, such as Grad-CAM.
        files: the names of the files of its record, in order.
        digest: SHA-256 of what decides which maps it has.
    """

    store: Store
    model_id: str
    method: str
    files: tuple[str, ...]
    digest: str

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
        return cls(store, about.model_id, METHODS.get(about.method, about.method), files, digest)

    def is_of(self, model_id: str | None) -> bool:
        """Whether the maps are of the model, or of one of the models, that made predictions.

        Args:
            model_id: what the predictions say; of several models all are in it, with `+` between them.
        """
        return model_id is not None and self.model_id in model_id.split("+")

    def check_model(self, model_id: str | None) -> None:
        """Refuses maps of another model than the one that made the predictions, where they tell which one that is.

        Raises:
            UsageError: it is another one.
        """
        if model_id is not None and not self.is_of(model_id):
            raise UsageError(f"--explanations {self.store.uri}: {self.told_other(model_id)}")

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
