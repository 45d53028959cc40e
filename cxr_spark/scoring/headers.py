"""Facts from the headers of raw DICOM images for the predictions, and a warning of doubtful images."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cxr_spark.datasets.columns import MAX_AGE_YEARS
from cxr_spark.datasets.persons import understood
from cxr_spark.imaging.dicom.person import Person
from cxr_spark.tables.schema import DICOM_UIDS
from cxr_spark.tables.text import counted

log = logging.getLogger(__name__)


def header_facts(header: Person | None) -> dict[str, Any]:
    """Returns the columns of the predictions that the header of a raw image fills; none where it has no header."""
    if header is None:
        return {}
    found = understood(header)
    too_old = found.age is not None and found.age > MAX_AGE_YEARS
    uids = dict(zip(DICOM_UIDS, (header.study, header.series, header.instance), strict=True))
    return {
        **found._asdict(),
        **({"age": None} if too_old else {}),
        **{name: uid or None for name, uid in uids.items()},
    }


def doubts_of(parts: Iterable[Mapping[str, int]], job: str = "score") -> dict[str, int]:
    """Adds up the DICOM images that may not be what a model is for, by reason, and warns of them.

    Args:
        parts: the number of such images by reason, for each part.
        job: the name of the job, whose settings say what becomes of such images.
    """
    doubts: Counter[str] = Counter()
    for part in parts:
        doubts.update(part)
    if doubts:
        log.warning(
            "DICOM images were taken that may be no frontal chest radiographs by their headers (%s): "
            "%s.dicom.modality, %s.dicom.body_part and %s.dicom.view say what becomes of them",
            counted(dict(sorted(doubts.items()))),
            *(job, job, job),
        )
    return dict(sorted(doubts.items()))
