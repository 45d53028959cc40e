"""Writes small sets of images in the formats of public datasets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from tests.support.dicom_files import JPEG, dicom_bytes

RNG = np.random.default_rng(17)
OBSERVATIONS = [
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
]


def picture(height: int = 48, width: int = 48, bright: bool = False) -> Any:
    """Noise; brighter in the middle where there is something to find."""
    image = RNG.integers(0, 160, (height, width), dtype=np.uint8)
    if bright:
        image[height // 4 : -height // 4, width // 4 : -width // 4] += 90
    return image


def write_image(path: Path, image: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)


def write_chexpert(root: Path, patients: int = 24) -> pd.DataFrame:
    """Writes CheXpert-v1.0-small with train and valid, as in the archive; returns all rows as they were written."""
    rows = []
    for number in range(1, patients + 1):
        split = "train" if number <= patients * 3 // 4 else "valid"
        for study in range(1, number % 2 + 2):
            lateral = study == 2
            view = "lateral" if lateral else "frontal"
            name = f"CheXpert-v1.0-small/{split}/patient{number:05d}/study{study}/view1_{view}.jpg"
            observed = RNG.choice(["1.0", "0.0", "-1.0", ""], len(OBSERVATIONS), p=[0.3, 0.2, 0.2, 0.3])
            write_image(root / name, picture(320, 390))
            plane = ["Lateral", ""] if lateral else ["Frontal", "PA" if number % 3 else "AP"]
            person = ["Male" if number % 2 else "Female", str(20 + number)]
            rows.append([name, *person, *plane, *observed])
    header = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *OBSERVATIONS]
    for split in ("train", "valid"):
        with (root / "CheXpert-v1.0-small" / f"{split}.csv").open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(header)
            table.writerows(row for row in rows if f"/{split}/" in row[0])
    return pd.DataFrame(rows, columns=header)


def write_classes(root: Path, images: dict[str, int], suffix: str = ".jpeg") -> None:
    """Writes folders of so many images of all sizes; those of the first class of a level are the darkest."""
    first = {Path(folder).parent: folder for folder in reversed(images)}
    for folder, count in images.items():
        for number in range(count):
            size = RNG.integers(60, 200, 2).tolist()
            bright = first[Path(folder).parent] != folder
            write_image(root / folder / f"{Path(folder).name}-{number:04d}{suffix}", picture(*size, bright=bright))


def write_rsna(root: Path, patients: int = 48) -> pd.DataFrame:
    """Writes RSNA's DICOM files and both label files; returns what is in them, a row a patient."""
    folder = root / "stage_2_train_images"
    folder.mkdir(parents=True)
    rows = []
    for number in range(patients):
        target = number % 3 == 0
        person = {
            "PatientSex": "FM"[number % 2],
            "PatientAge": str(10 + number),
            "ViewPosition": "PA" if number % 4 else "AP",
        }
        name = f"{number:08x}-14fd-4e49-80ba-63a80b6bddd6"
        image = picture(64, 64, bright=target)
        (folder / f"{name}.dcm").write_bytes(dicom_bytes(image, syntax=JPEG, PatientID=name, **person))
        kind = "Lung Opacity" if target else ("Normal" if number % 2 else "No Lung Opacity / Not Normal")
        boxes = [["1.0", "2.0", "3.0", "4.0"]] * (1 + number % 2) if target else [[""] * 4]
        rows.append([name, int(target), kind, boxes, *person.values()])
    frame = pd.DataFrame(rows, columns=["name", "target", "kind", "boxes", "sex", "age", "view"])
    with (root / "stage_2_train_labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patientId", "x", "y", "width", "height", "Target"])
        table.writerows([name, *box, target] for name, target, _, boxes, *_ in rows for box in boxes)
    with (root / "stage_2_detailed_class_info.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["patientId", "class"])
        table.writerows([name, kind] for name, _, kind, boxes, *_ in rows for _ in boxes)
    frame["age"] = frame["age"].astype(int)
    return frame
