"""`spark-submit jobs/quarantine.py ...`: the same as `cxr-spark quarantine ...`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # finds the package of a checkout that is not installed

from cxr_spark.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main(["quarantine", *sys.argv[1:]]))
