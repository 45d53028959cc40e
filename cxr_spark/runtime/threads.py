"""How the CPU threads of torch wait for each other, in every process that this program starts for networks.

This module is the one place that decides it: training ranks get it in their environment, Spark's Python workers by a
setting of Spark. OpenMP reads it when torch is loaded, so it cannot be changed later. It changes no result.
"""

from __future__ import annotations

from collections.abc import Mapping

#: By default, a thread that has done its part of an operation keeps its core busy until the others are done. Where
#: another process uses one of the cores, the threads then take the time from each other that they wait for.
WAIT_POLICY, PASSIVE = "OMP_WAIT_POLICY", "passive"
_OF_EXECUTORS = f"spark.executorEnv.{WAIT_POLICY}"


def threads_that_sleep(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables for a process that runs a network, with the user's own value where there is one.

    Args:
        given: the environment of this process.
    """
    return {WAIT_POLICY: given.get(WAIT_POLICY, PASSIVE)}


def workers_that_sleep(given: Mapping[str, str]) -> dict[str, str]:
    """Returns the same for Spark's Python workers, as a setting that Spark reads when it starts.

    Args:
        given: the environment of this process.
    """
    return {_OF_EXECUTORS: given.get(WAIT_POLICY, PASSIVE)}
