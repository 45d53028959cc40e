"""Makes the pictures of README out of a finished demo: the report, a Grad-CAM overlay, and the training curves.

`make pictures` calls it. All images in it are synthetic. The report is photographed by Chromium (Debian's package
`chromium`, or any Chrome named in the environment variable CHROME).
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
#: A picture of README has at most this many bytes.
MOST_BYTES = 300_000
#: Width and height, in CSS pixels, of the part of the report that is shown.
REPORT_SIZE = (1100, 1500)


def main(demo: Path, finding: str) -> None:
    """Writes report.png, gradcam.png and curves.png beside this file.

    Args:
        demo: the folder of the finished jobs.
        finding: the finding that `cxr-spark explain` explained.
    """
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder, "report.png")
        photograph(demo / "evaluation" / "report.html", photo)
        save(photo, "report.png")
    save(demo / "run" / "curves.png", "curves.png")
    save(first_with(finding, demo), "gradcam.png")


def first_with(finding: str, demo: Path) -> Path:
    """Returns the first explained picture of an image that is labelled with the finding alone."""
    with (demo / "images" / "Data_Entry_2017.csv").open(newline="") as file:
        labelled = {row["Image Index"] for row in csv.DictReader(file) if row["Finding Labels"] == finding}
    for picture in sorted((demo / "explained").glob("*.png")):
        if picture.name in labelled:
            return picture
    raise SystemExit(f"{demo}/explained holds no picture of an image with {finding} alone: explain more images")


def photograph(page: Path, target: Path) -> None:
    """Photographs the top of a page."""
    chrome = os.environ.get("CHROME") or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chrome is None:
        raise SystemExit("make pictures needs Chromium: install Debian's package chromium, or name a Chrome in CHROME")
    width, height = REPORT_SIZE
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    subprocess.run(
        [chrome, *options, f"--screenshot={target}", page.resolve().as_uri()], check=True, capture_output=True
    )


def save(source: Path, name: str) -> None:
    """Saves a picture with as many colours, and at last as many pixels, as fit `MOST_BYTES`."""
    picture = Image.open(source).convert("RGB")
    while True:
        for colours in (256, 128, 64):
            small = picture.quantize(colours, dither=Image.Dither.NONE)
            small.save(HERE / name, optimize=True)
            if (HERE / name).stat().st_size <= MOST_BYTES:
                print(f"{HERE / name}: {small.width} x {small.height}, {(HERE / name).stat().st_size:,} bytes")
                return
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
