"""Images in the driver's memory: a test set of some ten thousand images is measured before Spark would have started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyspark

from cxr_spark.datasets.matching import WAYS
from cxr_spark.evaluation.image_sets.base import BASELINE_SCORES, MOST_VALUES, ImageCounts, ImageSet, RowFacts
from cxr_spark.evaluation.reading.groupings import CROSSINGS, GROUPINGS, SPLIT, crossed
from cxr_spark.evaluation.reading.images import IMAGES, ArrowFunction

#: Rows that a function gets at a time, as from Spark by default.
_BATCH_ROWS = 10_000


class DriverImages(ImageSet):
    """Images of an Arrow table.

    Args:
        table: rows of `images.IMAGES`.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    @property
    def spark_version(self) -> str:
        """The version that is installed; it is not started."""
        return str(pyspark.__version__)

    def close(self) -> None:
        """Does nothing: the memory is given back with the table."""

    def kept(self) -> DriverImages:
        """Returns this set."""
        return self

    def each(self, function: ArrowFunction, schema: pa.Schema, most_calls: int | None = None) -> list[dict[str, Any]]:
        """Calls the function once, in this process."""
        return self.together(function, schema)

    def together(self, function: ArrowFunction, schema: pa.Schema) -> list[dict[str, Any]]:
        """Calls the function once, in this process."""
        batches = self.table.to_batches(_BATCH_ROWS) or [pa.RecordBatch.from_pylist([], self.table.schema)]
        return [row for batch in function(batches) for row in batch.to_pylist()]

    def count(self) -> int:
        """Returns the number of images."""
        return int(self.table.num_rows)

    def labelled(self) -> DriverImages:
        """Returns the images with labels."""
        return DriverImages(self.table.filter(pc.is_valid(self.table.column("labels"))))

    def of_split(self, split: str | None) -> DriverImages:
        """Returns the images of a split; of None all images."""
        return self if split is None else DriverImages(self.table.filter(pc.field(SPLIT) == split))

    def row_facts(self) -> RowFacts:
        """Counts values of columns."""
        models = self.table.column("model_id")
        return RowFacts(
            rows=self.table.num_rows,
            fault=pc.min(self.table.column("fault")).as_py(),
            images=pc.count_distinct(self.table.column("image_index")).as_py(),
            models=pc.count_distinct(models).as_py(),
            model_id=pc.min(models).as_py(),
        )

    def repeated(self) -> tuple[str, int]:
        """Returns the first image name that several rows have, and how many have it."""
        return min((name, n) for name, n in _value_counts(self.table.column("image_index")) if n > 1)

    def counts(self, split: str | None) -> ImageCounts:
        """Counts values of columns."""
        labelled = self.labelled()
        evaluated = labelled.of_split(split).table
        ways = dict(_value_counts(labelled.table.column("matched")))
        return ImageCounts(
            rows=self.table.num_rows,
            labelled=labelled.table.num_rows,
            evaluated=evaluated.num_rows,
            patients=pc.count_distinct(evaluated.column("patient")).as_py(),
            without_patient=pc.sum(pc.invert(evaluated.column("patient_known")), min_count=0).as_py(),
            first=pc.min(self.table.column("image_index")).as_py(),
            splits=tuple(sorted(name for name, _ in _value_counts(self.table.column(SPLIT)))),
            clipped=pc.sum(self.table.column("clipped"), min_count=0).as_py(),
            matched={way: ways.get(way, 0) for way in WAYS},
        )

    def values(self, split: str | None) -> list[tuple[str, str, int]]:
        """Counts values of columns."""
        evaluated = self.of_split(split).table
        columns = {name: evaluated.column(name) for name in GROUPINGS}
        for name, (one, other) in CROSSINGS.items():  # null where either is
            columns[name] = pc.binary_join_element_wise(columns[one], columns[other], crossed("", ""))
        columns[SPLIT] = self.table.column(SPLIT)
        found = [(name, value, n) for name, column in columns.items() for value, n in _value_counts(column)]
        shown = [(name, value, n) for name, value, n in found if value.strip(" ")]
        return sorted(shown, key=lambda row: (-row[2], row[0], row[1]))[:MOST_VALUES]

    def patients_in_several_splits(self) -> int:
        """Returns how many known patients have images in more than one split."""
        known = self.table.filter(pc.field("patient_known") & pc.field(SPLIT).is_valid())
        counted = known.group_by("patient").aggregate([(SPLIT, "count_distinct")])
        return int(pc.sum(pc.greater(counted.column(f"{SPLIT}_count_distinct"), 1), min_count=0).as_py())

    def paired_with(self, baseline: ImageSet, places: Sequence[int], baseline_places: Sequence[int]) -> DriverImages:
        """Looks every image up by its name."""
        assert isinstance(baseline, DriverImages)
        rows = pc.index_in(self.table.column("image_index"), baseline.table.column("image_index"))
        both = self.table.filter(pc.is_valid(rows))
        scores = _taken(baseline.table.take(rows.drop_null()), "scores", baseline_places)
        for name in ("labels", "scores"):
            both = both.set_column(both.column_names.index(name), IMAGES.field(name), _taken(both, name, places))
        return DriverImages(both.append_column(pa.field(BASELINE_SCORES, scores.type), scores))

    def with_baseline_scores(self) -> DriverImages:
        """Returns the images with the baseline's scores in the place of the model's own."""
        place = self.table.column_names.index("scores")
        return DriverImages(self.table.set_column(place, IMAGES.field("scores"), self.table.column(BASELINE_SCORES)))


def _value_counts(column: pa.ChunkedArray) -> Iterable[tuple[Any, int]]:
    """Returns the values of a column that are not missing, and how many rows have each."""
    return [(each["values"], each["counts"]) for each in pc.value_counts(column.drop_null()).to_pylist()]


def _taken(images: pa.Table, name: str, places: Sequence[int]) -> pa.ListArray:
    """Returns some places of the lists of a column; all its lists are there and of one length."""
    lists = images.column(name)
    n = images.num_rows
    taken = pc.list_flatten(lists).to_numpy().reshape(n, -1)[:, list(places)] if n else np.zeros(0)
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(len(places))
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(taken.ravel()))
