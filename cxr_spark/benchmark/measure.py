"""Measures how fast this machine runs prepare, train and score, beside plain loops that do the same without Spark.

What counts is the ratio of the two, taken one after the other: absolute figures change with the machine and its load.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.config import Settings
from cxr_spark.models.architectures import build
from cxr_spark.models.compiler import import_compiler
from cxr_spark.models.device import Compute, choose, choose_to_score
from cxr_spark.models.folder import load_model
from cxr_spark.outputs.job import Execution
from cxr_spark.outputs.run_job import run_job
from cxr_spark.preparation.job import PrepareJob
from cxr_spark.runtime.cores import usable_cores
from cxr_spark.sample_data.job import SampleDataJob
from cxr_spark.scoring.job import ScoreJob
from cxr_spark.spark_ml.training import train_job
from cxr_spark.storage.store import Store

#: Steps of the bare training loop: the first ones warm up and are not timed.
_WARM_UP, _TIMED = 3, 10


def benchmark(
    folder: Path, execution: Execution, *, images: int, size: int, input_size: int, batch: int, seed: int
) -> dict[str, Any]:
    """Measures prepare, train and score.

    Args:
        folder: an empty local folder for all that is made.
        execution: the place where the jobs run, and the Spark settings.
        images: synthetic images to work on.
        size: side of those images, pixels.
        input_size: side of prepared images and of the network's input, pixels.
        batch: images a step and a forward pass.
        seed: the seed of the images and of the training.

    Returns:
        Images/s of each job through Spark and of its bare loop, and their ratio; and what machine it was.
    """
    threads = usable_cores()
    run_job(SampleDataJob(f"file://{folder}/images", images, size, seed), execution)
    files = sorted(str(path) for path in (folder / "images").rglob("*.png"))
    compute = choose("auto")
    steps = {}
    through_spark = _timed_prepare(execution, folder, len(files), input_size)
    steps["prepare"] = _pair(through_spark, _bare_prepare(files, input_size, threads))
    through_spark = _timed_train(execution, folder, input_size, batch, seed)
    steps["train"] = _pair(through_spark, _bare_train(compute, input_size, batch, threads))
    through_spark = _timed_score(execution, folder, len(files))
    steps["score"] = _pair(through_spark, _bare_score(folder, choose_to_score("auto"), len(files), input_size, batch))
    return {"steps": steps, "machine": machine(compute), "images": len(files), "size": size, "input_size": input_size}


def machine(compute: Compute) -> dict[str, Any]:
    """Describes the machine that was measured."""
    gpu = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else None
    return {
        "cores": usable_cores(),
        "load_average": os.getloadavg()[0],
        "processor": platform.processor() or platform.machine(),
        "gpu": gpu,
        "precision": compute.precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _pair(spark: float, bare: float) -> dict[str, float]:
    return {
        "images_per_second": round(spark, 2),
        "bare_images_per_second": round(bare, 2),
        "ratio": round(spark / bare, 3),
    }


def _seconds(function: Callable[[], object]) -> float:
    started = time.monotonic()
    function()
    return time.monotonic() - started


def _settings(changes: Mapping[str, Any]) -> Settings:
    return Settings().updated(changes)


def _timed_prepare(execution: Execution, folder: Path, count: int, size: int) -> float:
    images = f"file://{folder}/images"
    labels = f"{images}/Data_Entry_2017.csv"
    settings = _settings({"prepare.images": images, "prepare.labels": labels, "prepare.size": size})

    def prepare(name: str) -> None:
        run_job(PrepareJob(settings.prepare, f"file://{folder}/{name}"), execution)

    prepare("warm")  # starts the JVM and the Python workers
    return count / _seconds(lambda: prepare("prepared"))


def _bare_prepare(files: Sequence[str], size: int, processes: int) -> float:
    # Not forked: this process has threads (torch, Spark), and their locks would stay locked in a fork of it.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_decode, files[: 4 * processes], [size] * (4 * processes)))  # starts the processes
        return len(files) / _seconds(lambda: list(pool.map(_decode, files, [size] * len(files), chunksize=16)))


def _decode(file: str, size: int) -> bytes:
    cv2.setNumThreads(1)
    image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_GRAYSCALE)
    small: bytes = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).tobytes()
    return small


def _timed_train(execution: Execution, folder: Path, input_size: int, batch: int, seed: int) -> float:
    settings = _settings(
        {"train.epochs": 2, "train.global_batch": batch, "train.seed": seed, "model.input_size": input_size}
    )
    run_job(train_job(settings, data=f"file://{folder}/prepared", out=f"file://{folder}/run"), execution)
    # The second epoch: the first one warms up.
    return float(json.loads((folder / "run" / "history.json").read_text())[-1]["images_per_second"])


def _bare_train(compute: Compute, input_size: int, batch: int, threads: int) -> float:
    torch.set_num_threads(threads)
    network = compute.place(build("resnet50", 15)).train()
    import_compiler()  # the optimiser would, and leave a folder behind
    optimizer = torch.optim.Adam(network.parameters())
    pixels = torch.randint(0, 256, (batch, input_size, input_size), dtype=torch.uint8, device=compute.device)
    labels = (torch.rand(batch, 15, device=compute.device) < 0.1).float()

    def steps(count: int) -> None:
        for _ in range(count):
            with compute.autocast():
                logits = network(imagenet_bgr(pixels, torch.channels_last))
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(torch.nn.functional.binary_cross_entropy_with_logits(logits, labels))
            optimizer.step()
        if compute.device.type == "cuda":
            torch.cuda.synchronize()

    steps(_WARM_UP)
    return _TIMED * batch / _seconds(lambda: steps(_TIMED))


def _timed_score(execution: Execution, folder: Path, count: int) -> float:
    settings = _settings({"score.split": "all"}).score

    def score(name: str) -> None:
        job = ScoreJob(
            settings, (f"file://{folder}/run/model",), f"file://{folder}/{name}", data=f"file://{folder}/prepared"
        )
        run_job(job, execution)

    score("warm-scores")  # loads the model in the Python workers
    return count / _seconds(lambda: score("scores"))


def _bare_score(folder: Path, compute: Compute, count: int, input_size: int, batch: int) -> float:
    network = compute.place(load_model(Store(f"{folder}/run/model")).module).eval()
    pixels = torch.randint(0, 256, (batch, input_size, input_size), dtype=torch.uint8)

    def run_forward(number: int) -> None:
        with torch.inference_mode(), compute.autocast():
            for _ in range(number):
                network(imagenet_bgr(pixels.to(compute.device), torch.channels_last)).cpu()

    run_forward(2)
    number = max(1, count // batch)
    return number * batch / _seconds(lambda: run_forward(number))
