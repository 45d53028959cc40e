"""No job reads from the folder that it writes, or writes in a folder that it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cxr_spark.errors import UsageError
from cxr_spark.storage.places import contains, glob_reaches, links_below
from cxr_spark.storage.uris import resolve

#: Settings and options that name something that a job reads. `tests/unit/outputs/test_overlap_known.py` fails when a
#: setting or an option is neither here nor known not to be a path.
INPUT_SETTINGS = (
    "prepare.images",
    "prepare.labels",
    "prepare.train_list",
    "prepare.test_list",
    "model.weights",
    "train.soft_labels",
    "train.mlflow.uri",
    "score.calibration_data",
    "score.thresholds",
    "evaluate.baseline",
    "evaluate.data",
    "evaluate.explanations",
    "evaluate.test_list",
    "evaluate.train_list",
    "explain.boxes",
    "explain.image_list",
)
INPUT_OPTIONS = (
    "--images",
    "--labels",
    "--train-list",
    "--test-list",
    "--data",
    "--model",
    "--predictions",
    "--baseline",
    "--calibration-data",
    "--thresholds",
    "--explanations",
    "--boxes",
    "--image-list",
    "--config",
)


class OverlapError(UsageError):
    """Inputs and output overlap. Nothing may be written then, not even how the run ended: it could be read as input."""


def refuse_overlap(
    out: str,
    inputs: Mapping[str, Iterable[str | None]],
    hadoop: Mapping[str, str] | None = None,
    *,
    sees_links: bool = True,
) -> None:
    """Makes sure that no input lies in the output folder, and that the output folder lies in no input.

    What a job writes in a folder that it reads is taken for input by its next run. Links, a viewfs, the names of a pair
    of NameNodes and different ways to write one place are seen through.

    Args:
        out: resolved URI of the output folder.
        inputs: an option's or a setting's name to its resolved URIs, which may be globs; None where it is not given.
        hadoop: Hadoop's settings, as `Application.hadoop_settings` gives them.
        sees_links: whether to look for symbolic links below the inputs too, for which all of their folders are listed.

    Raises:
        OverlapError: they overlap.
    """
    for option, uris in inputs.items():
        for uri in uris:
            if uri is not None:
                _check(option, uri, out, hadoop, sees_links)


def config_inputs(config: str | None) -> list[str]:
    """Returns the resolved URI of the settings file, as an input of every job; nothing where there is none."""
    return [] if config is None else [resolve(config)]


def _check(option: str, uri: str, out: str, hadoop: Mapping[str, str] | None, sees_links: bool) -> None:
    if contains(out, uri, hadoop):
        raise OverlapError(f"{option} {uri} lies in --out {out}: choose a folder of its own for the output")
    if contains(uri, out, hadoop) or glob_reaches(uri, out, hadoop):
        raise OverlapError(
            f"--out {out} lies in {option} {uri}, and the next run would read what this one writes: choose a folder "
            "outside"
        )
    for target, is_read_whole in links_below(uri) if sees_links else ():
        if contains(out, target, hadoop) or (is_read_whole and contains(target, out, hadoop)):
            raise OverlapError(
                f"{option} {uri} holds a symbolic link to {target}, which overlaps with --out {out}: choose a folder "
                "of its own for the output"
            )
