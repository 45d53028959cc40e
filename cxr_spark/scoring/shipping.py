"""Sends models to the executors: checks them on the driver, and broadcasts what executors cannot read by themselves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cxr_spark.models.metadata import ModelMetadata
from cxr_spark.models.metadata_file import METADATA_NAME, WEIGHTS_NAME, load_metadata
from cxr_spark.outputs.names import CONVERTED_NAME
from cxr_spark.runtime.cores import usable_cores
from cxr_spark.scoring.engine import Engine
from cxr_spark.scoring.kept_conversion import converted_network
from cxr_spark.scoring.ready import check_same
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.storage.places import SHARED_LOCAL, is_on_every_node
from cxr_spark.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from cxr_spark.models.folder import LoadedModel

log = logging.getLogger(__name__)


def ship(spark: SparkSession, uri: str, metadata: ModelMetadata, engine: Engine) -> ShippedModel:
    """Checks a model on the driver, and makes it available to the executors in the form that an engine takes.

    Args:
        spark: the session.
        uri: full URI of the model folder.
        metadata: the metadata that the job read before, such as for its fingerprint.
        engine: what computes the probabilities.

    Raises:
        DataError: the folder holds no model, or a damaged one.
        RunError: it holds another model than those metadata tell of, or the network cannot be converted.
        UsageError: the network has to be converted, and torch is not installed here.
    """
    if engine.name == "openvino":
        return _ship_converted(spark, uri, metadata, engine)
    return ship_model(spark, uri, metadata, engine)[0]


def ship_model(
    spark: SparkSession, uri: str, expected: ModelMetadata | None = None, engine: Engine | None = None
) -> tuple[ShippedModel, LoadedModel]:
    """Checks a model on the driver, and makes it available to the executors.

    Args:
        spark: the session.
        uri: full URI of the model folder.
        expected: the metadata that the job read before, such as for its fingerprint; None to compare nothing.
        engine: what computes the probabilities; default: torch in float32.

    Returns:
        What travels to the executors, and the model itself.

    Raises:
        DataError: the folder holds no model, or a damaged one.
        RunError: it holds another model than the expected one: it was replaced meanwhile.
    """
    from cxr_spark.models.folder import load_model

    store = Store(uri)
    loaded = load_model(store)
    if expected is not None:
        check_same(loaded.metadata, expected, store.uri)
    context, engine = spark.sparkContext, engine or Engine()
    if _executors_read(spark, store.uri):
        return ShippedModel(store.uri, loaded.metadata, engine=engine), loaded
    files = {name: store.read_bytes(name) for name in (METADATA_NAME, WEIGHTS_NAME)}
    log.info("sending the model with the tasks: executors cannot read %s", store.uri)
    return ShippedModel(store.uri, loaded.metadata, context.broadcast(files), engine), loaded


def _ship_converted(spark: SparkSession, uri: str, metadata: ModelMetadata, engine: Engine) -> ShippedModel:
    """Sends the converted network with the tasks; see `ship`."""
    store = Store(uri)
    check_same(load_metadata(store), metadata, store.uri)
    file = converted_network(store, metadata)
    # Never read from the folder by executors: two jobs that convert at once would replace each other's file there.
    log.info("sending the converted network with the tasks")
    broadcast = spark.sparkContext.broadcast({CONVERTED_NAME: file.data})
    return ShippedModel(store.uri, metadata, broadcast, engine, file.sha256)


def _executors_read(spark: SparkSession, uri: str) -> bool:
    context = spark.sparkContext
    return is_on_every_node(uri, context.master, context.getConf().get(SHARED_LOCAL, "false"))


def threads_of_a_task(spark: SparkSession, parts: int) -> int:
    """Returns the number of CPU threads of a task: in local mode several, where there are fewer tasks than cores."""
    context = spark.sparkContext
    if context.master.startswith("local"):
        return max(1, usable_cores() // max(1, min(parts, int(context.defaultParallelism))))
    return int(context.getConf().get("spark.task.cpus", "1"))
