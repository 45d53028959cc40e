"""What every node can read."""

from __future__ import annotations

import pytest

from cxr_spark.storage.places import is_on_every_node


@pytest.mark.parametrize("shared", ["true", "TRUE", "True", " true "])
def test_truth_values_are_read_in_any_case_as_spark_reads_its_own(shared: str) -> None:
    assert is_on_every_node("file:///x", "yarn", shared)


@pytest.mark.parametrize("shared", ["false", "", "yes", "0"])
def test_a_local_folder_is_on_one_node_unless_it_is_said_to_be_shared(shared: str) -> None:
    assert not is_on_every_node("file:///x", "spark://h:7077", shared)
    assert is_on_every_node("hdfs://n/x", "yarn", shared)
    assert is_on_every_node("file:///x", "local[4]", shared)
