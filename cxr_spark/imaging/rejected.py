"""Why a file cannot be used as an image: short, stable reason codes, and the exception that carries one."""

from __future__ import annotations

from cxr_spark.errors import DataError

EMPTY = "empty"
NOT_AN_IMAGE = "not_an_image"
UNSUPPORTED_FORMAT = "unsupported_format"
CORRUPT = "corrupt"
TRUNCATED = "truncated"
TOO_LARGE = "too_large"
UNREADABLE = "unreadable"
HIDDEN_NAME = "hidden_name"
UNUSABLE_NAME = "unusable_name"
DUPLICATE_NAME = "duplicate_name"
OTHER_MODALITY = "other_modality"
OTHER_BODY_PART = "other_body_part"
OTHER_VIEW = "other_view"

#: What each reason code means; the codes are what quarantine tables and manifests hold.
REASONS: dict[str, str] = {
    EMPTY: "the file holds no bytes",
    NOT_AN_IMAGE: "the first bytes are of no known image format",
    UNSUPPORTED_FORMAT: "an image, but of a format or a variant that is not read",
    CORRUPT: "a checksum is wrong or the contents contradict themselves",
    TRUNCATED: "the file ends before the image does",
    TOO_LARGE: "the header promises more pixels or bytes than any radiograph has",
    UNREADABLE: "the storage does not give this file: no permission, or gone since it was listed",
    HIDDEN_NAME: "its name, or that of a folder above it, begins with _ or ., which Spark's readers never see",
    UNUSABLE_NAME: "its name has a line break or is not UTF-8",
    OTHER_MODALITY: "a DICOM image, but no plain radiograph by its Modality",
    OTHER_BODY_PART: "a DICOM image, but not of the chest by its BodyPartExamined",
    OTHER_VIEW: "a DICOM image, but neither PA nor AP by its ViewPosition",
    DUPLICATE_NAME: "files in different folders have this name: which of them the label means is not known",
}


class ImageRejected(DataError):  # noqa: N818 - it says what happened, as FileNotFound would
    """The bytes of a file are not an image that can be used.

    Attributes:
        reason: one of the codes in `REASONS`.
        detail: what was seen, in words.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"
