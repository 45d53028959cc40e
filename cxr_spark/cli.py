"""`cxr-spark NAME ...`: one command a job, one line an error, one documented exit status."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any

from cxr_spark import __version__
from cxr_spark.config import load_settings
from cxr_spark.errors import CxrError, UsageError

#: Command names and their modules below `cxr_spark.commands`; a module is imported only when its command runs.
COMMANDS: dict[str, str] = {
    "prepare": "read, check and resize images, join their labels, split by patient",
    "train": "fine-tune a network on prepared data",
    "score": "write the probabilities of every finding for every image",
    "evaluate": "AUCs with intervals, plots and a report from predictions",
    "pipeline": "run the jobs of a settings file in order",
    "config": "show every setting",
    "sample-data": "make a synthetic data set in NIH's layout",
    "import-weights": "turn pretrained weights of other tools into one file",
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
    _set_up_logging(debug)
    started = time.monotonic()
    name, status, summary, message = "", 4, {}, None
    args: argparse.Namespace | None = None
    try:
        args = parse(arguments)
        name = args.command
        summary = args.run(args)
        status = 0
    except CxrError as error:
        status, message = error.exit_status, _one_line(error)
    except FileNotFoundError as error:
        status, message = 3, f"no such file or folder: {error.filename or error}"
    except KeyboardInterrupt:
        status, message = 4, "interrupted; run the same command again to go on"
    except Exception as error:  # whatever Spark or torch raise: one line for the operator, the trace with --debug
        status, message = 4, f"{type(error).__name__}: {_one_line(error)} (the trace is shown with --debug)"
    if message is not None:
        print(f"cxr-spark {name or 'error'}: {message}", file=sys.stderr, flush=True)
        if debug:
            traceback.print_exc()
    seconds = time.monotonic() - started
    if args is not None and name:
        _write_status(args, name, status, seconds, summary, message)
        if status == 0 and summary:
            print(json.dumps(summary, indent=2, default=str))
        log.info("job=%s exit_status=%d seconds=%.1f", name, status, seconds)
    return status


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses a command line; settings files are read and checked here.

    Raises:
        UsageError: the line or a setting is wrong.
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
    parser = argparse.ArgumentParser(
        prog=f"cxr-spark {name}", description=module.__doc__, epilog=EXIT_STATUSES, allow_abbrev=False
    )
    module.add_arguments(parser)
    _add_common(parser)
    args = parser.parse_args(rest)
    args.command = name
    args.run = module.run
    args.settings = load_settings(args.config, args.set)
    args.spark_conf = dict(_pair(text) for text in args.spark)
    return args


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of every command")
    group.add_argument("--config", metavar="YAML", help="settings file")
    group.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="one setting; repeatable")
    group.add_argument("--overwrite", action="store_true", help="replace the output of another run")
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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _set_up_logging(debug: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)
    logging.getLogger().setLevel(logging.WARNING)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    logging.getLogger("py4j").setLevel(logging.ERROR)


def _write_status(
    args: argparse.Namespace, name: str, status: int, seconds: float, summary: Any, message: str | None
) -> None:
    """Leaves the exit status in the output folder: in YARN's cluster mode spark-submit itself gives 1 for any."""
    uri = getattr(args, "status_uri", None)  # set by the command once it holds its output folder
    if uri is None:
        return
    from cxr_spark.output import STATUS_NAME
    from cxr_spark.storage import Store

    value = {"job": name, "exit_status": status, "seconds": round(seconds, 1), "error": message, "summary": summary}
    try:
        Store(uri).write_json(STATUS_NAME, json.loads(json.dumps(value, default=str)))
    except (CxrError, OSError, ValueError) as error:
        log.warning("the exit status could not be written to %s: %s", uri, error)


if __name__ == "__main__":
    raise SystemExit(main())
