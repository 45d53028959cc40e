"""The models of a score job on the driver: checks that they fit together, names them, and combines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cxr_spark.config import ScoreSettings
from cxr_spark.errors import ConfigError, DataError, UsageError
from cxr_spark.models.description import described
from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.outputs.claim import digest
from cxr_spark.scoring.combining import Combination
from cxr_spark.scoring.engine import Engine, engine_of
from cxr_spark.scoring.ensemble import ShippedEnsemble, joint_id
from cxr_spark.scoring.fold_models import load_models
from cxr_spark.scoring.reference import combination_of, open_reference
from cxr_spark.scoring.seen_images import check_reference
from cxr_spark.scoring.shipping import ship
from cxr_spark.tables.prepared import PreparedDataset

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Models:
    """Models that score together, most often one alone.

    Attributes:
        uris: full URIs of the model folders.
        members: the metadata of each model.
        settings: the settings of the group `score`, which say how the models are combined.
        reference: the prepared data whose validation images the models are calibrated or ranked by; None where they are
            neither.
    """

    uris: tuple[str, ...]
    members: tuple[ModelMetadata, ...]
    settings: ScoreSettings
    reference: PreparedDataset | None = None

    @property
    def first(self) -> ModelMetadata:
        """The model that decides the order of the findings."""
        return self.members[0]

    @property
    def model_id(self) -> str:
        """The `model_id` of predictions that these models make."""
        return joint_id(self.members)

    @property
    def engine(self) -> Engine:
        """What computes the probabilities."""
        return engine_of(self.settings)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the result beside the models: what differs from the defaults in combination and engine."""
        return {**self._combination, **self.engine.fingerprint}

    @property
    def _combination(self) -> dict[str, Any]:
        chosen = self.settings.model_dump(include={"average", "tta", "calibrate"}, exclude_defaults=True)
        found: dict[str, Any] = dict(chosen)
        if self.reference is not None:
            found |= {"calibration_data": self.reference.store.uri, "calibration": digest(self.reference.manifest)}
        return found

    def described(self) -> dict[str, Any]:
        """Describes the models, how they are combined and what computes them, as JSON values."""
        how = {**self._combination, **self.engine.described()}
        if len(self.members) == 1:
            return {**described(self.first), **how}
        models = [{"model_id": member.model_id, **described(member)} for member in self.members]
        return {"average": self.settings.average, **how, "models": models}

    def ship(self, spark: SparkSession) -> ShippedEnsemble:
        """Makes the models available to the executors, and calibrates them if the settings ask for it.

        Raises:
            DataError: a model or the calibration data are damaged.
            RunError: a model was replaced meanwhile, or a task failed.
        """
        settings = self.settings
        pairs = zip(self.uris, self.members, strict=True)
        models = tuple(ship(spark, uri, metadata, self.engine) for uri, metadata in pairs)
        combination = Combination(settings.average, self.first.task == "single_label")
        flip = settings.tta == "flip"
        if self.reference is not None:
            combination = combination_of(
                spark,
                self.reference,
                ShippedEnsemble(models, flip),
                self.first.findings,
                platt=settings.calibrate == "platt",
                base=combination,
                batch=settings.batch,
            )
        return ShippedEnsemble(models, flip, combination)


def open_models(uris: Sequence[str], settings: ScoreSettings, reference_uri: str | None) -> Models:
    """Reads the metadata of models, and checks that they can score together as the settings ask.

    Args:
        uris: full URIs of the model folders; one at least. That of a cross-validation stands for the models
            of its folds.
        settings: the settings of the group `score`, which say how the models are combined.
        reference_uri: full URI of prepared data to calibrate or rank by; None where none are given.

    Raises:
        DataError: a folder holds no model, a cross-validation lacks some, or models have different findings.
        UsageError: a model is given twice, or there is nothing to calibrate on but images that a model was trained on.
    """
    found = [model for uri in uris for model in load_models(uri)]
    uris, members = [uri for uri, _ in found], tuple(metadata for _, metadata in found)
    first = members[0]
    seen: dict[str, str] = {}
    for uri, member in zip(uris, members, strict=True):
        if member.model_id in seen:
            raise UsageError(
                f"--model {seen[member.model_id]} and {uri} hold the same weights ({member.model_id[:12]}): give each "
                "model once"
            )
        seen[member.model_id] = uri
        if set(member.findings) != set(first.findings):
            raise DataError(_different(uris[0], first.findings, uri, member.findings))
        if member.task != first.task:
            raise DataError(
                f"the models do not go together: {uris[0]} is {first.task}, {uri} is {member.task}; score each into an "
                "--out of its own"
            )
    if not settings.needs_reference:
        return Models(tuple(uris), members, settings)
    asked = "average=ranks" if settings.average == "ranks" else f"calibrate={settings.calibrate}"
    if first.task == "single_label":
        raise ConfigError(
            f"score.{asked} is for findings with a sigmoid each, and {uris[0]} has one softmax over all classes: use "
            "average=probabilities or average=logits, and calibrate=none"
        )
    if reference_uri is None:
        raise UsageError(
            f"score.{asked} needs validation images: give the output of the prepare job by --calibration-data"
        )
    reference = open_reference(reference_uri, first.findings)
    check_reference(uris, members, reference, asked)
    return Models(tuple(uris), members, settings, reference)


def _different(first: str, findings: Sequence[str], other: str, others: Sequence[str]) -> str:
    only_first, only_other = set(findings) - set(others), set(others) - set(findings)
    parts = [
        f"only {uri} has {', '.join(sorted(names))}"
        for uri, names in ((first, only_first), (other, only_other))
        if names
    ]
    return (
        f"the models have different findings: {'; '.join(parts)}; models are averaged only where they have the same: "
        "score each into an --out of its own"
    )
