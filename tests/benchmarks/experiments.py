"""Trains the same network by a plain PyTorch loop and by this program, with one setting changed at a time.

    python -m tests.benchmarks.experiments --data PREPARED --weights F.safetensors --out FOLDER --seeds 1 2 3

Every training and its probabilities of validation and test images go into a folder of their own. What is finished is
not trained again, so the command can be stopped and repeated. `compare.py` makes a table of the results.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

#: What each experiment sets, beside what all have in common. Affine: the changes that are usual for chest radiographs.
CHANGES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "ema": ("train.ema_decay=0.99",),
    "cosine": ("train.schedule={kind: cosine, warmup_epochs: 0.5}",),
    "affine": (
        "train.augmentations=[{random_horizontal_flip: {p: 0.5}}, "
        "{random_affine: {degrees: 7, shift: 0.05, zoom: [0.9, 1.1]}}, {random_brightness: {factor: 0.1}}]",
    ),
    "layer_decay": ("train.layer_decay=0.7",),
    "label_smoothing": ("train.label_smoothing=0.1",),
    "asymmetric": ("train.loss=asymmetric",),
    "mixup": ("train.mixup=0.2",),
    "adamw": ("train.optimizer=adamw", "train.weight_decay=0.05"),
}
COMMON = ("model.architecture=resnet50_v1", "train.global_batch=32", "train.learning_rate=1e-4", "train.workers=1")


def run(command: list[str], log: Path) -> None:
    """Runs a command; its output goes into a file."""
    with log.open("a") as file:
        print("$", *command, file=file, flush=True)
        subprocess.run(command, check=True, stdout=file, stderr=subprocess.STDOUT)


def plain(args: argparse.Namespace, seed: int, folder: Path) -> None:
    """Trains by the plain loop."""
    script = str(Path(__file__).with_name("plain_loop.py"))
    command = [sys.executable, script, "--data", str(args.data), "--weights", str(args.weights)]
    command += ["--side", str(args.side), "--epochs", str(args.epochs), "--seed", str(seed)]
    command += ["--fp32"] * args.fp32
    run([*command, "--threads", str(args.threads), "--out", str(folder / "plain.csv")], folder / "log.txt")
    (folder / "plain.csv").rename(folder / "predictions.csv")


def program(args: argparse.Namespace, changes: tuple[str, ...], seed: int, folder: Path) -> None:
    """Trains and scores by this program, with as many cores as the plain loop has threads."""
    cxr_spark = str(Path(sys.executable).with_name("cxr-spark"))
    settings = [*COMMON, f"model.weights={args.weights}", f"model.input_size={args.side}", f"train.seed={seed}"]
    settings += [f"train.epochs={args.epochs}", f"train.threads_per_worker={args.threads}"]
    settings += [f"train.precision={'fp32' if args.fp32 else 'bf16'}", *changes]
    options = [text for setting in settings for text in ("--set", setting)]
    given = ["--data", str(args.data), "--spark", f"spark.master=local[{args.threads}]"]
    run([cxr_spark, "train", *given, "--out", str(folder / "run"), *options], folder / "log.txt")
    model = ["--model", str(folder / "run" / "model"), "--split", "val,test"]
    run([cxr_spark, "score", *given, *model, "--out", str(folder / "predictions")], folder / "log.txt")


def finished(folder: Path) -> bool:
    """Returns whether the probabilities of a training are complete: `score` makes its folder when it begins."""
    return (folder / "predictions" / "_done.json").exists() or (folder / "predictions.csv").exists()


def same_settings(args: argparse.Namespace) -> None:
    """Refuses to add trainings to a folder of trainings with other settings: they could not be compared."""
    given = {name: str(Path(getattr(args, name)).resolve()) for name in ("data", "weights")}
    given |= {name: str(getattr(args, name)) for name in ("side", "epochs", "threads", "fp32")}
    file = args.out / "settings.json"
    if not file.exists():
        if args.out.exists() and any(args.out.iterdir()):
            sys.exit(f"{args.out} is not empty and has no settings.json: give another folder as --out")
        args.out.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(given, indent=2))
    elif (before := json.loads(file.read_text())) != given:
        sys.exit(f"{args.out} holds trainings with {before}, not {given}: give another folder as --out")


def main() -> None:
    """Runs what is not there yet: all seeds of one experiment before the next."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="output of `cxr-spark prepare`")
    parser.add_argument("--weights", type=Path, required=True, help="output of `cxr-spark import-weights`, resnet50_v1")
    parser.add_argument("--out", type=Path, required=True, help="folder of all results")
    parser.add_argument("--side", type=int, default=96, help="side of the network's input, pixels")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fp32", action="store_true", help="train in float32, for processors without bfloat16")
    parser.add_argument("--only", nargs="+", default=["plain", *CHANGES], choices=["plain", *CHANGES])
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    same_settings(args)
    for name in args.only:
        for seed in args.seeds:
            folder = args.out / f"{name}_{seed}"
            if finished(folder):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            print(f"{name}, seed {seed}", flush=True)
            if name == "plain":
                plain(args, seed, folder)
            else:
                program(args, CHANGES[name], seed, folder)


if __name__ == "__main__":
    main()
