"""The files of every job, written by runs that end well, fail or are killed; and files of others beside them."""

from __future__ import annotations

from pathlib import Path

from cxr_spark.outputs.claim import Claim

#: What a whole run of each job writes: names that need no note, and names that come from the data.
WRITTEN: dict[str, tuple[list[str], list[str]]] = {
    "prepare": (
        [
            "data/split=train/part-00000-0123456789abcdef.parquet",
            "data/split=test/part-00001-fedcba9876543210.parquet",
            "quarantine/part-names-0011223344556677.parquet",
            "quarantine/part-00001-0011223344556677.parquet",
            "manifest.json",
        ],
        [],
    ),
    "train": (
        [
            "checkpoints/step-00000012-0123456789abcdef.safetensors",
            "checkpoints/manifest.json",
            "history.json",
            "curves.png",
            "training.html",
            "tensorboard/events.out.tfevents.cxr_spark",
            "model/weights.safetensors",
            "model/metadata.json",
            "model/metadata/part-00000",
            "model/metadata/.part-00000.crc",
            "model/metadata/_SUCCESS",
            "model/metadata/._SUCCESS.crc",
            "model/metadata/part-00000-0a1b2c3d-0a1b-0a1b-0a1b-0123456789ab-c000.txt",
        ],
        [],
    ),
    "train --folds": (
        [
            "fold_1/_cxr_spark.json",
            "fold_1/_done.json",
            "fold_1/checkpoints/step-00000012-0123456789abcdef.safetensors",
            "fold_1/checkpoints/manifest.json",
            "fold_1/tensorboard/events.out.tfevents.cxr_spark",
            "fold_12/_lock.json",
            "fold_12/model/weights.safetensors",
            "fold_12/model/metadata/._SUCCESS.crc",
            "out_of_fold/_done.json",
            "out_of_fold/part-00000-0123456789ab.parquet",
            "cross_validation.json",
        ],
        [],
    ),
    "train --find-rate": (
        [
            "learning_rates.json",
            "learning_rates.png",
            "checkpoints/step-00000000-0123456789abcdef.safetensors",
            "checkpoints/manifest.json",
        ],
        [],
    ),
    "score": (
        [
            "part-00000-0123456789ab.parquet",
            "_quarantine/part-names-0123456789ab.parquet",
            "part-00003-20240131T235959Z-0a1b2c3d.parquet",
            "_staged/part-00004-rest-0123456789ab.parquet",
            "_ledger.parquet",
        ],
        [],
    ),
    "evaluate": (
        [
            "roc.png",
            "roc.svg",
            "confusion_matrix.png",
            "report.html",
            "metrics.json",
            "tables/findings.csv",
            "tables/decisions_0_5.tex",
            "tables/decisions_most_probable.csv",
        ],
        [],
    ),
    "explore": (["explore.json", "explore.html", "class_balance.png", "intensity.png"], []),
    "explain": (
        ["localization.json", "sanity.json", "_quarantine/part-00000.parquet", "_explained/part-00000.parquet"],
        ["00000001_000.png", "a_b~0123456789abcdef.png", "layers/layer4.2/00000001_000.png"],
    ),
    "benchmark": (["benchmark.json"], []),
    "sample-data": (
        ["SYNTHETIC.txt", "README.md", "Data_Entry_2017.csv", "train_val_list.txt"],
        ["images_001/images/00000001_000.png", "images_001/images/00000002_000.png"],
    ),
}


#: What people keep beside results.
FOREIGN = [
    "notes.txt",
    "images/1.png",
    "images_001/images/mine.png",
    "model/README.txt",
    "model/metadata/notes.txt",
    "checkpoints/best.safetensors",
    "fold_1/notes.txt",
    "fold_01/model/metadata.json",
    "out_of_fold/mine.parquet",
    "data/split=train/mine.parquet",
    "data/mine.parquet",
    "part-00000.parquet",
    "_quarantine/review.csv",
    "_staged/mine.parquet",
    "_written/mine.json",
    "layers/sketch.svg",
    ".cxr-mine.tmp",
    "a b/ü/.hidden",
]


def write_all(claimed: Claim, job: str) -> None:
    alone, of_data = WRITTEN[job]
    if of_data:
        claimed.note(of_data)
    for name in (*of_data, *alone):
        claimed.store.write_bytes(name, f"{job} wrote it".encode())


def put(folder: Path, names: list[str], content: bytes = b"mine") -> dict[Path, bytes]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {folder / name: content for name in names}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
