"""Settings of the explore job."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cxr_spark.config.section import Section


class ExploreSettings(Section):
    """What the page of prepared data shows."""

    pictures: Literal["show", "leave_out"] = Field(
        "show",
        description="examples of each finding, and of images that were set aside, as small pictures on the page; "
        "leave_out: no picture of an image stands there",
    )
