"""Where bfloat16 moves probabilities and AUCs, by rounding parts of a network on a processor that computes in float32.

    python -m tests.benchmarks.precision --data PREPARED --model RUN/model --out precision.json

What torch's autocast does to a network is imitated in float32: the factors of convolutions and of the last layer are
rounded to bfloat16, products are added in float32, and the sums are rounded again. Other variants round less.
`autocast` is torch itself, which needs no hardware for bfloat16 and is slow without it, and `score --precision bf16`
is what the program computes. For each the table says how far logits moved, how many images have a probability that
moved by more than 0.05, and the largest change of an AUC.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torchvision.models.resnet import Bottleneck

from cxr_spark.augmentation.kernels import imagenet_bgr
from cxr_spark.models.exact_input import compute_first_layer_in_float32
from cxr_spark.models.folder import load_model
from cxr_spark.models.fusing import fuse_batch_norms
from cxr_spark.storage.store import Store
from tests.benchmarks.plain_loop import read_split

#: Findings with fewer positive images among those compared are left out of the largest change of an AUC.
_FEW = 20


def rounded(values: torch.Tensor) -> torch.Tensor:
    """Returns float32 values with the 8 bits of precision of bfloat16."""
    return values.bfloat16().float()


def imitate(
    network: nn.Module, layers: Callable[[str], bool], *, weights: bool = True, inputs: bool = True, sums: bool = True
) -> nn.Module:
    """Returns a copy of a fused ResNet whose layers round.

    Args:
        network: the network.
        layers: which layers do, by name.
        weights: whether their weights are rounded.
        inputs: whether their inputs are.
        sums: whether their outputs are, and those of the blocks in which they stand.
    """
    network = copy.deepcopy(network)
    for name, layer in network.named_modules():
        if not layers(name):
            continue
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            if weights:
                layer.weight.data = rounded(layer.weight.data)
            if inputs:
                layer.register_forward_pre_hook(lambda _, given: (rounded(given[0]),))
        if sums and isinstance(layer, (nn.Conv2d, nn.Linear, Bottleneck)):
            layer.register_forward_hook(lambda _, __, output: rounded(output))
    return network


def part_of(layer: str) -> str:
    """Returns the part of the network that a layer belongs to: `conv1`, `layer1` to `layer4`, or `fc`."""
    return layer.split(".")[0]


def variants(network: nn.Module) -> dict[str, nn.Module]:
    """Returns the networks that are compared with the one that does not round, by what they round."""
    found = {
        "imitated: all": imitate(network, lambda _: True),
        "but the first convolution": imitate(network, lambda name: name != "conv1"),
        "but the last layer": imitate(network, lambda name: part_of(name) != "fc"),
        "but these two": imitate(network, lambda name: part_of(name) not in ("conv1", "fc")),
        "weights alone": imitate(network, lambda _: True, inputs=False, sums=False),
        "factors, not sums": imitate(network, lambda _: True, sums=False),
    }
    for part in ("conv1", "layer1", "layer2", "layer3", "layer4", "fc"):
        found[f"{part} alone"] = imitate(network, lambda name, part=part: part_of(name) == part)  # type: ignore[misc]
    return found


@torch.inference_mode()
def logits_of(network: nn.Module, images: torch.Tensor, autocast: bool = False) -> np.ndarray:
    """Returns the logits, float32 (N, K), of uint8 (N, S, S) images."""
    results = []
    for start in range(0, len(images), 32):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            results.append(network(imagenet_bgr(images[start : start + 32], torch.channels_last)).float())
    return torch.cat(results).numpy()


def compared(logits: np.ndarray, exact: np.ndarray, labels: np.ndarray, findings: list[str]) -> dict[str, object]:
    """Returns how far logits lie from the exact ones, and what it does to probabilities and AUCs."""
    moved = np.abs(1 / (1 + np.exp(-logits)) - 1 / (1 + np.exp(-exact)))
    changes = {
        finding: roc_auc_score(labels[:, k], logits[:, k]) - roc_auc_score(labels[:, k], exact[:, k])
        for k, finding in enumerate(findings)
        if labels[:, k].sum() >= _FEW
    }
    return {
        "mean_logit_change": float(np.abs(logits - exact).mean()),
        "images_moved_by_0.05": float((moved.max(axis=1) > 0.05).mean()),
        "largest_auc_change": float(np.abs(list(changes.values())).max()),
        "mean_auc_change": float(np.mean(list(changes.values()))),
        "auc_changes": changes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="where bfloat16 moves probabilities and AUCs")
    parser.add_argument("--data", type=Path, required=True, help="prepared data")
    parser.add_argument("--model", required=True, help="folder of a ResNet-50's model")
    parser.add_argument("--splits", nargs="+", default=["val", "test"], help="splits whose images are scored")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--out", type=Path, required=True, help="the table, as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(Store(args.model))
    side, findings = model.metadata.preprocessing.input_size, list(model.metadata.findings)
    parts = [read_split(args.data, split, side) for split in args.splits]
    images, labels = torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts]).numpy()
    network = fuse_batch_norms(model.module.eval()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    exact = logits_of(network, images)
    spread = float(exact.std(axis=0).mean())
    print(f"{len(images)} images; the standard deviation of a finding's logits is {spread:.3f}")
    found: dict[str, object] = {"images": len(images), "logit_deviation": spread}
    half = {"autocast": network, "score --precision bf16": compute_first_layer_in_float32(copy.deepcopy(network))}
    for name, variant in {**variants(network), **half}.items():
        found[name] = compared(logits_of(variant, images, name in half), exact, labels, findings)
        print(name, {key: round(value, 5) for key, value in found[name].items() if key != "auc_changes"}, flush=True)  # type: ignore[attr-defined]
    args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
