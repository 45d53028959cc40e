"""`cxr-spark NAME ...`: one command a job, one line an error, one documented exit status.

What runs a command is imported once its line is parsed: `cxr-spark --help` answers at once, without NumPy, Spark and
other libraries that take long to load.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from cxr_spark import __version__
from cxr_spark.commands.streams import guarded_streams
from cxr_spark.errors import UsageError
from cxr_spark.runtime.processes import children, end_children, end_with_pipeline, terminate_as_interrupt
from cxr_spark.storage.json_values import as_json

#: Command names and their modules below `cxr_spark.commands`; a module is imported only when its command runs.
COMMANDS: dict[str, str] = {
    "prepare": "read, check and resize images, join their labels, split by patient",
    "train": "fine-tune a network on prepared data, or cross-validate it by patient (--folds)",
    "score": "write the probabilities of every finding for every image",
    "evaluate": "AUCs with intervals, precision, recall and F1, plots and a report from predictions",
    "explain": "Grad-CAM and Grad-CAM++ overlays, maps of layers, and how well they meet radiologists' boxes",
    "explore": "class balance, patients, ages, grey values, examples and set-aside images of prepared data, as a page",
    "pipeline": "run the jobs of a settings file in order",
    "quarantine": "print which images a job set aside, and why",
    "config": "show every setting",
    "sample-data": "make a synthetic data set in NIH's layout",
    "benchmark": "images/s of each step on this machine, beside a bare loop",
    "import-weights": "turn pretrained weights of other tools into one file",
    "bigdl-jars": "print what spark-submit needs for the BigDL backend",
}

EXIT_STATUSES = "exit status: 0 done, 2 bad usage or settings, 3 bad data, 4 the run failed"

log = logging.getLogger("cxr_spark")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the command's name and its options; default the process's own.

    Returns:
        The exit status: 0 done, 2 bad usage or settings, 3 bad data, 4 the run failed.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    with guarded_streams(), warnings.catch_warnings(), terminate_as_interrupt():
        _set_up_logging(debug)
        if not debug and not sys.warnoptions:
            warnings.simplefilter("ignore")  # they are for developers, of this program and of its libraries
        return _run(arguments, debug)


def _run(arguments: list[str], debug: bool) -> int:
    end_with_pipeline()
    started = time.monotonic()
    name = arguments[0] if arguments and arguments[0] in COMMANDS else "-"
    spark_was_there, others = _spark_context() is not None, children()
    status, interrupted = 0, False
    try:
        args = parse(arguments)
        from cxr_spark.commands.running import summary_of

        summary = summary_of(args)
        if summary:
            print(json.dumps(as_json(summary), indent=2), flush=True)
    except (Exception, KeyboardInterrupt) as error:
        from cxr_spark.outputs.run_status import tell

        status, message = tell(error)
        interrupted = isinstance(error, KeyboardInterrupt)
        print(f"cxr-spark {name}: {message}" if name != "-" else f"cxr-spark: {message}", file=sys.stderr, flush=True)
        if debug:
            traceback.print_exc()
    if interrupted:
        end_children(but=others)
    elif not spark_was_there:
        _stop_spark()
    log.info("job=%s exit_status=%d seconds=%.1f", name, status, time.monotonic() - started)
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses a command line, without its settings.

    Raises:
        UsageError: the line is wrong.
        SystemExit: it asks for help or the version.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(__version__)
        raise SystemExit(0)
    name, *rest = arguments
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}: expected one of {', '.join(COMMANDS)}")
    module = importlib.import_module(f"cxr_spark.commands.{name.replace('-', '_')}")
    parser = _Parser(prog=f"cxr-spark {name}", description=module.__doc__, epilog=EXIT_STATUSES, allow_abbrev=False)
    module.add_arguments(parser)
    _add_common(parser)
    args = parser.parse_args(rest)
    args.command = name
    args.module = module
    args.spark_conf = dict(_pair(text) for text in args.spark)
    return args


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, as all errors are told, without the list of all options."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of every command")
    group.add_argument("--config", metavar="YAML", help="settings file")
    group.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="one setting; repeatable")
    group.add_argument("--overwrite", action="store_true", help="replace the output of another run of this command")
    group.add_argument("--master", help="Spark master (default: local[*]; under spark-submit give it there)")
    group.add_argument("--spark", metavar="KEY=VALUE", action="append", default=[], help="Spark setting; repeatable")
    group.add_argument("--debug", action="store_true", help="show the trace of an error, and more log lines")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.startswith("spark."):
        raise UsageError(f"--spark {text!r}: expected spark.some.key=value")
    return key, value


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        ["usage: cxr-spark COMMAND [options]", "", *lines, "", "`cxr-spark COMMAND --help` tells more.", EXIT_STATUSES]
    )


def _set_up_logging(debug: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger().setLevel(logging.WARNING)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    # A JVM that ends while it is called is told by the error that follows from it.
    logging.getLogger("py4j").setLevel(logging.WARNING if debug else logging.CRITICAL)


def _spark_context() -> Any:
    if "pyspark" not in sys.modules:
        return None
    from pyspark import SparkContext

    return SparkContext._active_spark_context


def _stop_spark() -> None:
    """Stops Spark before the last line is written, so that what it has to say at its end comes first."""
    context = _spark_context()
    if context is not None:
        try:
            context.stop()
        except Exception as error:  # the job is done or has failed by now; how Spark ends changes nothing
            log.debug("Spark did not stop cleanly: %s", error)


if __name__ == "__main__":
    raise SystemExit(main())
