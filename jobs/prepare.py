"""`spark-submit jobs/prepare.py ...`: the same as `cxr-spark prepare ...`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # finds the package of a checkout that is not installed

from cxr_spark.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main(["prepare", *sys.argv[1:]]))
