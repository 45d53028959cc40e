"""Training and running chest X-ray classifiers on Spark."""

import sys

from cxr_spark.spark_ml.former_names import FormerNames

__version__ = "0.1.0"

sys.meta_path.append(FormerNames())
