"""Turns pretrained weights of other tools into one safetensors file that takes ImageNet-mean BGR input.

SOURCE is a .pth of torchvision or timm, a Keras .h5, a TensorFlow.js model.json (its shards beside it) or a safetensors
file of torchvision's or timm's layout, or of DINOv2 as transformers saves it, such as RAD-DINO's model.safetensors. The
result goes into the setting model.weights.
"""

from __future__ import annotations

import argparse
import logging
import time

from cxr_spark.config.model import ARCHITECTURE_NAMES
from cxr_spark.errors import UsageError
from cxr_spark.storage.places import contains
from cxr_spark.storage.store import parent_and_name, resolve

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    parser.add_argument("source", metavar="SOURCE", help="URI of the weights; for TensorFlow.js of its model.json")
    parser.add_argument(
        "--architecture",
        required=True,
        metavar="NAME",
        help=f"the network that the weights are of, a value of the setting model.architecture: one of "
        f"{', '.join(ARCHITECTURE_NAMES)}, or timm/NAME",
    )
    parser.add_argument(
        "--grey-range",
        nargs=2,
        type=float,
        metavar=("BLACK", "WHITE"),
        help="for a network of torchvision's layout whose input has one channel: the values of a black and a white "
        "pixel that it was trained with; -1024 1024 for torchxrayvision's",
    )
    for option, what in (("--mean", "means"), ("--std", "standard deviations")):
        parser.add_argument(
            option,
            nargs=3,
            type=float,
            metavar=("R", "G", "B"),
            help=f"for a network of timm: the {what} that it was trained with, for pixels of 0 to 1; default: those of "
            "its name, and for a file of transformers those of the preprocessor_config.json beside it",
        )
    parser.add_argument("--out", required=True, metavar="F.safetensors", help="URI of the file to write")
    parser.set_defaults(out_is_file=True)


def run(args: argparse.Namespace) -> dict[str, object]:
    """Imports the weights.

    Raises:
        UsageError: wrong options, or the output is there and differs.
        DataError: the weights are damaged or of another network.
    """
    # These load torch, which may be missing: that is told, and the help is shown, before they are imported.
    from cxr_spark.models.importers import import_weights
    from cxr_spark.models.importers.normalisation import from_options
    from cxr_spark.models.tensors import sha256
    from cxr_spark.models.weights import Weights

    started = time.monotonic()
    out = resolve(args.out)
    if not out.endswith(".safetensors"):
        raise UsageError(f"--out {args.out!r}: expected the name of a file that ends with .safetensors")
    source = resolve(args.source)
    store, name = parent_and_name(out)
    if contains(out, source) or contains(source, out):
        raise UsageError(f"--out {out} is SOURCE itself, or lies in it: choose another name")
    grey_range = tuple(args.grey_range) if args.grey_range else None
    weights = import_weights(source, args.architecture, grey_range, from_options(args.mean, args.std))
    data = weights.to_bytes()
    if store.exists(name) and not args.overwrite and store.read_bytes(name) != data:
        raise UsageError(f"--out {out} is there already and differs: choose another name, or say --overwrite")
    store.write_bytes(name, data)
    # Read back what lies there now: a file that cannot be used must show here, not in a month's training.
    Weights.from_bytes(store.read_bytes(name), out)
    header = weights.header
    log.info("imported %s as %s in %.1f s", header.source, header.architecture, time.monotonic() - started)
    return {"out": out, "sha256": sha256(data), "tensors": len(weights.tensors), **header.model_dump(mode="json")}
