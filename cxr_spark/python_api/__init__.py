"""What `import cxr_spark` offers: the jobs as functions, and a trained network without Spark.

The package itself exports these names; see docs/python_api.md.
"""
