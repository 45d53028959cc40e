"""What an evaluation asks of the images it is about, wherever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cxr_spark.evaluation.reading.images import ArrowFunction

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: The column of `ImageSet.paired_with` that holds the other model's scores.
BASELINE_SCORES = "baseline_scores"
#: The most values that `ImageSet.values` returns, since a column of free text must not fill the driver.
MOST_VALUES = 400


@dataclass(frozen=True)
class RowFacts:
    """What decides whether a table of images can be evaluated.

    Attributes:
        rows: the number of rows.
        fault: the first fault by the alphabet; None where no row has one.
        images: the number of different image names.
        models: the number of different model ids.
        model_id: the first model id by the alphabet; None where there is none.
    """

    rows: int
    fault: str | None
    images: int
    models: int
    model_id: str | None


@dataclass(frozen=True)
class ImageCounts:
    """How many images of each kind there are.

    Attributes:
        rows: all images.
        labelled: the images with labels.
        evaluated: the images with labels that belong to the wanted split.
        patients: the number of different patients of the evaluated images.
        without_patient: the evaluated images whose patient is not known.
        first: the first image name by the alphabet; None where there are no images.
        splits: the splits that occur.
        clipped: how many scores lay just outside 0 to 1 by rounding and were set to 0 or 1.
        matched: the number of labelled images that were found in the labels by each of `matching.WAYS`.
    """

    rows: int
    labelled: int
    evaluated: int
    patients: int
    without_patient: int
    first: str | None
    splits: tuple[str, ...]
    clipped: int
    matched: dict[str, int]


class ImageSet(ABC):
    """Images as rows of `images.IMAGES`.

    A set that is made from another set reads from it: close the original only after all sets that were made from it.

    Attributes:
        frame: the images as a DataFrame; None where the driver holds them.
    """

    frame: DataFrame | None = None

    @property
    @abstractmethod
    def spark_version(self) -> str:
        """The version of Spark that holds the images, or would."""

    @abstractmethod
    def close(self) -> None:
        """Gives back the memory of images that were kept."""

    @abstractmethod
    def kept(self) -> ImageSet:
        """Returns the same images, made once and kept until they are closed."""

    @abstractmethod
    def each(self, function: ArrowFunction, schema: pa.Schema, most_calls: int | None = None) -> list[dict[str, Any]]:
        """Applies a function to all images, in any number of calls.

        Args:
            function: takes batches of images, and yields batches of `schema`. Executors may run it.
            schema: the schema of what it yields.
            most_calls: the most calls; None for any number.

        Returns:
            The rows that the calls yielded.
        """

    @abstractmethod
    def together(self, function: ArrowFunction, schema: pa.Schema) -> list[dict[str, Any]]:
        """Applies a function to all images in one call, as `each` does."""

    @abstractmethod
    def count(self) -> int:
        """Returns the number of images."""

    @abstractmethod
    def labelled(self) -> ImageSet:
        """Returns the images with labels."""

    @abstractmethod
    def of_split(self, split: str | None) -> ImageSet:
        """Returns the images of a split; of None all images."""

    @abstractmethod
    def row_facts(self) -> RowFacts:
        """Returns what decides whether the images can be evaluated."""

    @abstractmethod
    def repeated(self) -> tuple[str, int]:
        """Returns the first image name by the alphabet that several rows have, and how many; there must be one."""

    @abstractmethod
    def counts(self, split: str | None) -> ImageCounts:
        """Counts images.

        Args:
            split: the split that is evaluated; None for all images.
        """

    @abstractmethod
    def values(self, split: str | None) -> list[tuple[str, str, int]]:
        """Counts the values of each grouping, of each crossing of two groupings, and of the split.

        Args:
            split: the split whose images are counted, but for the values of the split itself; None for all images.

        Returns:
            The column or crossing, the value and the number of images; the most frequent first, at most `MOST_VALUES`.
            Missing and blank values are left out.
        """

    @abstractmethod
    def patients_in_several_splits(self) -> int:
        """Returns how many known patients have images in more than one split."""

    @abstractmethod
    def paired_with(self, baseline: ImageSet, places: Sequence[int], baseline_places: Sequence[int]) -> ImageSet:
        """Returns the images that a baseline has, too, with its scores as a further column, `BASELINE_SCORES`.

        Args:
            baseline: images with scores of another model, each name once, held where these are.
            places: the places of the findings of `labels` and `scores` that are taken, in that order.
            baseline_places: the places of the same findings in the scores of the baseline.
        """

    @abstractmethod
    def with_baseline_scores(self) -> ImageSet:
        """Returns what `paired_with` returned, with the baseline's scores in the place of the model's own."""
