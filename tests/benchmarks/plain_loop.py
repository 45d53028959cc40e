"""A plain PyTorch loop, without this package, that the program's training is compared with.

It is what one writes by hand for the same task: torchvision's ResNet-50 from ImageNet weights, Adam at a constant rate,
binary cross-entropy, random flips, and the epoch with the best macro AUC on the validation images. It reads prepared
data and the weights of `import-weights`, since both should start from the same images and the same numbers:

    python -m tests.benchmarks.plain_loop --data PREPARED --weights F.safetensors --seed 1 --out plain_1.csv

The result is a table of probabilities of validation and test images, which `cxr-spark evaluate` and `compare.py` read.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from safetensors import safe_open
from sklearn.metrics import roc_auc_score
from torch import nn
from torchvision.models import resnet50

#: What the weights' input is less of, blue, green, red.
_MEAN = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)


def read_split(data: Path, split: str, side: int) -> tuple[list[str], torch.Tensor, torch.Tensor]:
    """Returns names, images uint8 (N, side, side) and labels float32 (N, K) of a split."""
    files = sorted((data / "data" / f"split={split}").glob("*.parquet"))
    table = pd.concat([pq.ParquetFile(file).read().to_pandas() for file in files]).sort_values("image_index")
    stored = int(np.sqrt(len(table["pixels"].iloc[0])))
    pixels = np.stack([np.frombuffer(row, np.uint8).reshape(stored, stored) for row in table["pixels"]])
    images = torch.from_numpy(pixels)
    if side != stored:
        larger = nn.functional.interpolate(images[:, None].float(), (side, side), mode="bilinear", antialias=True)
        images = larger[:, 0].round().clamp(0, 255).to(torch.uint8)
    return table["image_index"].tolist(), images, torch.from_numpy(np.stack(table["labels"]).astype(np.float32))


def network(weights: Path, outputs: int) -> nn.Module:
    """Returns torchvision's ResNet-50 with the strides of He's original, its weights, and a new last layer."""
    with safe_open(weights, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if not name.startswith("fc.")}  # noqa: SIM118
        epsilon = json.loads(file.metadata()["cxr_spark"])["batch_norm_epsilon"]
    module = resnet50(num_classes=outputs)
    for layer in (module.layer2, module.layer3, module.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = epsilon
    unmatched = module.load_state_dict(tensors, strict=False)
    counts = {name for name in unmatched.missing_keys if name.endswith("num_batches_tracked")}
    assert set(unmatched.missing_keys) == {"fc.weight", "fc.bias"} | counts, unmatched
    assert not unmatched.unexpected_keys, unmatched
    return module


def network_input(images: torch.Tensor) -> torch.Tensor:
    """Returns grey images (N, S, S) as the network's input, float32 (N, 3, S, S)."""
    planes = images[:, None].float().expand(-1, 3, -1, -1) - _MEAN
    return planes.contiguous(memory_format=torch.channels_last)


def predict(module: nn.Module, images: torch.Tensor, batch: int) -> np.ndarray:
    """Returns the probabilities, float32 (N, K), computed in float32: the program's validation and scoring are, too."""
    module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            parts.append(torch.sigmoid(module(network_input(images[start : start + batch]))))
    return torch.cat(parts).numpy()


def macro_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the mean AUC of the findings that have both classes."""
    both = [k for k in range(labels.shape[1]) if 0 < labels[:, k].sum() < len(labels)]
    return float(np.mean([roc_auc_score(labels[:, k], scores[:, k]) for k in both]))


def main() -> None:
    """Trains, and writes the probabilities of the validation and test images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="output of `cxr-spark prepare`")
    parser.add_argument("--weights", type=Path, required=True, help="output of `cxr-spark import-weights`, resnet50_v1")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--side", type=int, default=64, help="side of the network's input, pixels")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fp32", action="store_true", help="train in float32; default: bfloat16 where it is mixed")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    findings = json.loads((args.data / "manifest.json").read_text())["findings"]
    _, images, labels = read_split(args.data, "train", args.side)
    held = {split: read_split(args.data, split, args.side) for split in ("val", "test")}
    module = network(args.weights, len(findings)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(module.parameters(), lr=args.rate)
    best, kept = -1.0, {}
    for epoch in range(args.epochs):
        module.train()
        order = torch.randperm(len(images))
        for chosen in order.split(args.batch):
            batch = images[chosen]
            mirrored = torch.rand(len(chosen)) < 0.5
            batch = torch.where(mirrored[:, None, None], batch.flip(-1), batch)
            with contextlib.nullcontext() if args.fp32 else torch.autocast("cpu", torch.bfloat16):
                logits = module(network_input(batch))
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scores = {split: predict(module, held[split][1], args.batch) for split in held}
        reached = macro_auc(held["val"][2].numpy(), scores["val"])
        print(f"epoch {epoch + 1}: loss of the last batch {loss.item():.4f}, val macro AUC {reached:.4f}", flush=True)
        if reached > best:
            best, kept = reached, scores
    tables = [
        pd.DataFrame(kept[split], columns=[f"prob_{name}" for name in findings]).assign(
            **{"Image Index": held[split][0], "split": split}
        )
        for split in held
    ]
    pd.concat(tables).to_csv(args.out, index=False)


if __name__ == "__main__":
    main()
