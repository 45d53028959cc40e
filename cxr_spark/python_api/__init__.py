"""What `import cxr_spark` offers: the jobs as functions, for notebooks and programs of your own, and `load_model`.

The arguments of a job are the options of the command of the same name, with underscores for hyphens. It also takes:

- `config`: URI of a YAML settings file;
- groups of settings as dicts, which win over the file, such as `train={"epochs": 3}`; an option wins over both;
- `overwrite`: whether to replace the output of another run of the same job.

A function uses the Spark session that is active, and leaves its settings as they are. Where there is none it starts a
local one, which is left running. An error is one of `cxr_spark.errors`; nothing ends the process. A function that is
called again with the same arguments finds its finished output and returns its result at once.
"""
