"""The names that each job gives to the files in its output folder.

A job deletes only what it wrote. What that is follows from these names, from the list in the folder's mark, and from
the notes of `cxr_spark.outputs.mark`; see `cxr_spark.outputs.ownership`. A job that writes a file of a new name must
name it here: until then the program takes the file for one of somebody else, says so, and never deletes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_NOTHING = re.compile(r"(?!)")


@dataclass(frozen=True)
class OutputNames:
    """The names of one job's files, below its output folder.

    Attributes:
        fixed: whole names, such as `metrics.json`.
        made: names that nobody but the job gives, such as those with a random part.
        added: names that another job of the program may add to finished output. They count as the job's own also where
            its mark lists all that it wrote and does not list them.
        of_data: names that come from the data, such as an image's. They prove nothing by themselves, so the job notes
            each of them before it writes the file. Outputs of earlier versions have no notes: there the name counts.
        folders: the folders that the job writes in.
    """

    fixed: frozenset[str] = frozenset()
    made: re.Pattern[str] = _NOTHING
    added: re.Pattern[str] = _NOTHING
    of_data: re.Pattern[str] = _NOTHING
    folders: re.Pattern[str] = _NOTHING

    def is_fixed_or_made(self, name: str) -> bool:
        """Whether the name alone tells that the job wrote the file."""
        return name in self.fixed or self.made.fullmatch(name) is not None

    def is_writing_place(self, name: str) -> bool:
        """Whether the job writes a file or a folder of this name."""
        patterns = (self.made, self.added, self.of_data, self.folders)
        return name in self.fixed or any(pattern.fullmatch(name) for pattern in patterns)


_HEX = "[0-9a-f]"
#: What Spark leaves in a folder that it wrote a text to, on a local disk with a checksum beside each file.
_SPARK_TEXT = rf"(\.?part-\d{{5}}(-{_HEX}{{8}}(-{_HEX}{{4}}){{3}}-{_HEX}{{12}}-c\d{{3}})?(\.txt)?|\.?_SUCCESS)(\.crc)?"
SPARK_TEXT = re.compile(_SPARK_TEXT)
_SCORED = rf"part-(\d{{5}}|names)-({_HEX}{{12}}|\d{{8}}T\d{{6}}Z-{_HEX}{{8}}|rest-{_HEX}{{12}})\.(parquet|csv)"
#: The tables of an evaluation.
_TABLES = (
    "findings|youden|decisions_(0_5|validation|most_probable)|points_(sensitivity|specificity)_\\d\\d|points_(youden|f1)|"
    "calibration|comparison|disagreements|mistakes|published|splits|subgroups|subgroup_crossings|"
    "subgroup_findings(_flagged)?"
)
#: The program's own notes on a run, in an output that lies in the output of another job.
_NOTES = rf"_cxr_spark\.json|_done\.json|_status\.json|_lock\.[^/]+|_written/{_HEX}{{32}}\.json"

#: The metrics of a training by epoch, as numbers, as a picture and as a page.
HISTORY_NAME, CURVES_NAME, TRAINING_PAGE_NAME = "history.json", "curves.png", "training.html"
#: The converted network that a score job keeps in a model folder.
CONVERTED_NAME = "openvino.safetensors"
_CONVERSION = f"model/{CONVERTED_NAME}"
_CHECKPOINT = rf"step-\d{{8,}}-{_HEX}{{16}}\.safetensors"
_TRAIN = OutputNames(
    fixed=frozenset(
        {
            HISTORY_NAME,
            CURVES_NAME,
            TRAINING_PAGE_NAME,
            "mlflow.json",
            "tensorboard/events.out.tfevents.cxr_spark",
            "checkpoints/manifest.json",
            "checkpoints/failure.json",
            "model/metadata.json",
            "model/weights.safetensors",
        }
    ),
    made=re.compile(rf"checkpoints/{_CHECKPOINT}|model/metadata/{_SPARK_TEXT}"),
    added=re.compile(re.escape(_CONVERSION)),
    folders=re.compile(r"checkpoints|model(/metadata)?|tensorboard"),
)
_SCORE = OutputNames(
    fixed=frozenset({"_ledger.parquet"}),
    made=re.compile(rf"(_staged/)?(_quarantine/)?{_SCORED}"),
    folders=re.compile(r"(_staged/)?_quarantine|_staged"),
)
#: The folder of each training of a cross-validation, and the folder of the scores that they make together.
FOLD, OUT_OF_FOLD = "fold_{number}", "out_of_fold"
_FOLD = FOLD.format(number=r"[1-9]\d*")
#: The rates that a range test tried, and its picture.
RANGE_TEST_NAME, RANGE_PICTURE_NAME = "learning_rates.json", "learning_rates.png"
#: What a cross-validation is known by: its summary.
CROSS_VALIDATION_NAME = "cross_validation.json"


def _below(folder: str, inner: OutputNames) -> str:
    """Returns the pattern of the files of another job's output in a folder of this one's."""
    fixed = "|".join(map(re.escape, sorted(inner.fixed)))
    return rf"{folder}/({fixed}|{inner.made.pattern}|{_NOTES})"


OUTPUT_NAMES: Mapping[str, OutputNames] = MappingProxyType(
    {
        "prepare": OutputNames(
            fixed=frozenset({"manifest.json"}),
            made=re.compile(
                r"(data/split=(train|val|test)/part-\d{5}|quarantine/part-(\d{5}|names)|near_duplicates/part)"
                rf"-{_HEX}{{16}}\.parquet"
            ),
            folders=re.compile(r"data(/split=(train|val|test))?|quarantine|near_duplicates"),
        ),
        "train": _TRAIN,
        "train --folds": OutputNames(
            fixed=frozenset({CROSS_VALIDATION_NAME, "mlflow.json"}),
            made=re.compile(f"{_below(_FOLD, _TRAIN)}|{_below(OUT_OF_FOLD, _SCORE)}"),
            added=re.compile(f"{_FOLD}/{re.escape(_CONVERSION)}"),
            folders=re.compile(rf"{_FOLD}(/({_TRAIN.folders.pattern}|_written))?|{OUT_OF_FOLD}(/_written)?"),
        ),
        "train --find-rate": OutputNames(
            fixed=frozenset(
                {RANGE_TEST_NAME, RANGE_PICTURE_NAME, "checkpoints/manifest.json", "checkpoints/failure.json"}
            ),
            made=re.compile(rf"checkpoints/{_CHECKPOINT}"),
            folders=re.compile(r"checkpoints"),
        ),
        "score": _SCORE,
        "evaluate": OutputNames(
            fixed=frozenset(
                {
                    "metrics.json",
                    "roc.png",
                    "roc.svg",
                    "auc.png",
                    "auc.svg",
                    "confusion_matrix.png",
                    "report.html",
                    "model_card.json",
                    "model_card.md",
                }
            ),
            made=re.compile(rf"tables/({_TABLES})\.(csv|tex)"),
            folders=re.compile(r"tables"),
        ),
        "explore": OutputNames(
            fixed=frozenset(
                {
                    "explore.json",
                    "explore.html",
                    "class_balance.png",
                    "co_occurrence.png",
                    "patients.png",
                    "intensity.png",
                }
            )
        ),
        "explain": OutputNames(
            fixed=frozenset({"index.html", "localization.json", "sanity.json"}),
            made=re.compile(r"_quarantine/part-(names|\d{5})\.parquet|_explained/part-\d{5}\.parquet"),
            of_data=re.compile(r"(layers/[^/]+/)?[^/]+\.png"),
            folders=re.compile(r"_quarantine|_explained|layers(/[^/]+)?"),
        ),
        "benchmark": OutputNames(fixed=frozenset({"benchmark.json"})),
        "sample-data": OutputNames(
            fixed=frozenset(
                {
                    "SYNTHETIC.txt",
                    "Data_Entry_2017.csv",
                    "BBox_List_2017.csv",
                    "train_val_list.txt",
                    "test_list.txt",
                    "README.md",
                }
            ),
            of_data=re.compile(r"images_\d{3}/images/\d{8}_\d{3}\.png"),
            folders=re.compile(r"images_\d{3}(/images)?"),
        ),
    }
)


def names_of(job: str) -> OutputNames:
    """Returns the names of a job's files; of a job that is not known none."""
    return OUTPUT_NAMES.get(job, OutputNames())
