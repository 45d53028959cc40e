"""torchvision's own pretrained weights, by name. They are downloaded on the driver, never on an executor."""

from __future__ import annotations

import pickle
from pathlib import Path
from urllib.error import URLError

import torch

from cxr_spark.errors import ConfigError, DataError
from cxr_spark.models import tensors as tensor_files
from cxr_spark.models._torchvision import models
from cxr_spark.models.architectures import TRANSFORMED_INPUT, architecture
from cxr_spark.models.importers.torchvision_pth import from_state_dict
from cxr_spark.models.weights import Weights


def download(name: str, architecture_name: str) -> Weights:
    """Gets weights through torchvision, from its cache (`$TORCH_HOME`) or the internet.

    Args:
        name: such as `IMAGENET1K_V2`, or `DEFAULT`.
        architecture_name: a key of `ARCHITECTURES`.

    Raises:
        ConfigError: torchvision has no such weights, or they cannot be downloaded from here.
        DataError: the download, or the file in the cache, is damaged or holds other things than tensors.
    """
    architecture(architecture_name)
    if architecture_name not in models.list_models():
        hint = "; choose model.architecture=resnet50, or import Keras's" if architecture_name == "resnet50_v1" else ""
        raise ConfigError(f"model.weights {name!r}: torchvision has no weights of {architecture_name}{hint}")
    known = models.get_model_weights(architecture_name).__members__
    if name not in known:
        raise ConfigError(
            f"model.weights {name!r}: torchvision has {', '.join(known)} for {architecture_name}; "
            "or give `random`, or the URI of imported weights"
        )
    entry = known[name]
    what = f"torchvision {type(entry).__name__}.{entry.name}"
    try:
        state = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError) as error:
        raise ConfigError(
            f"model.weights {name!r} cannot be downloaded from here ({error}): on a machine with internet get "
            f"{entry.url}, then `cxr-spark import-weights FILE.pth --architecture {architecture_name} --out "
            "F.safetensors`, and set model.weights to the URI of that file"
        ) from None
    except (RuntimeError, pickle.UnpicklingError) as error:
        raise DataError(f"{what}: {str(error).splitlines()[0]}: delete it from {torch.hub.get_dir()}") from None
    cached = Path(torch.hub.get_dir(), "checkpoints", entry.url.rpartition("/")[2])
    transform = entry.transforms()
    return from_state_dict(
        state,
        architecture_name,
        what=what,
        source_kind="torchvision",
        source_sha256=tensor_files.sha256(cached.read_bytes()),
        # These two rescale their input once more inside the network, which makes another mean and std of it.
        normalisation=None if architecture_name in TRANSFORMED_INPUT else (transform.mean, transform.std),
    )
