"""Everything about a pipeline that can be checked before its first job: what else shows an hour into it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from cxr_spark.config import Settings
from cxr_spark.datasets.registry import dataset_named
from cxr_spark.errors import ConfigError, CxrError, DataError, UsageError
from cxr_spark.evaluation.reading.explanations import Explanations
from cxr_spark.outputs.claim import DONE_NAME
from cxr_spark.outputs.ownership import check_ownership
from cxr_spark.recipes.child_jobs import ChildJob
from cxr_spark.recipes.overlaps import overlaps
from cxr_spark.runtime.requirements import check_calibration
from cxr_spark.scoring.engine import check_installed, engine_of
from cxr_spark.storage.store import Store, parent_and_name
from cxr_spark.tables.prepared import PreparedDataset
from cxr_spark.training.tracking import following

_GLOB = re.compile(r"[*?\[{]")


class PipelineCheck:
    """Checks settings and inputs of a pipeline.

    Args:
        settings: the settings of the pipeline.
        jobs: those of its jobs that are to run.
        resolve: turns a path into its full URI.
        config: the settings file as the user wrote it; None where there is none.
        hadoop: Hadoop's settings, as `Application.hadoop_settings` gives them.
    """

    def __init__(
        self,
        settings: Settings,
        jobs: Sequence[ChildJob],
        resolve: Callable[[str], str],
        *,
        config: str | None = None,
        hadoop: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._config = config
        self._hadoop = hadoop
        self._resolve = resolve
        self._jobs = {job.name: job for job in jobs}
        self._problems: list[CxrError] = []

    def run(self) -> None:
        """Checks everything.

        Raises:
            CxrError: something is wrong; the message tells all that is.
        """
        if not self._settings.pipeline.out:
            self._problems.append(ConfigError("pipeline.out is not set: expected a folder for the outputs of all jobs"))
        else:
            self._check_outputs()
            self._problems += overlaps(
                self._settings, list(self._jobs.values()), self._config, self._resolve, self._hadoop
            )
        if "prepare" in self._jobs:
            self._check_prepare()
        if self._settings.pipeline.out:
            self._check_inputs()
        if "train" in self._jobs:
            self._check_train()
        if "score" in self._jobs:
            with self._collected():
                check_installed(engine_of(self._settings.score), "cxr-spark score")
        if "score" in self._jobs and self._settings.score.calibration_data:
            with self._collected():
                PreparedDataset.open(self._resolve(self._settings.score.calibration_data))
        if "evaluate" in self._jobs:
            with self._collected():
                check_calibration(self._settings.evaluate.calibration)
        if "evaluate" in self._jobs and self._settings.evaluate.baseline:
            with self._collected():
                self._check_input("evaluate.baseline", self._settings.evaluate.baseline)
        if "evaluate" in self._jobs and self._settings.evaluate.data:
            with self._collected():
                self._check_shown_data(self._settings.evaluate.data)
        self._check_explanations()
        if "explain" in self._jobs:
            self._check_explain()
        self._check_tracking()
        if self._problems:
            kinds = (UsageError, DataError)
            first = next((p for kind in kinds for p in self._problems if isinstance(p, kind)), self._problems[0])
            raise type(first)("; ".join(dict.fromkeys(map(str, self._problems))))

    @contextlib.contextmanager
    def _collected(self) -> Iterator[None]:
        try:
            yield
        except CxrError as error:
            self._problems.append(error)

    def _check_outputs(self) -> None:
        for job in self._jobs.values():
            with self._collected():
                check_ownership(Store(self._resolve(job.out)), job.name)

    def _check_prepare(self) -> None:
        prepare = self._settings.prepare
        needed = ("images", "labels") if dataset_named(prepare.dataset).has_label_files else ("images",)
        for name in needed:
            if not getattr(prepare, name):
                self._problems.append(ConfigError(f"prepare.{name} is not set: prepare cannot do without it"))
        for pattern in prepare.images:
            with self._collected():
                self._check_images(pattern)
        lists = {name: getattr(prepare, name) for name in ("train_list", "test_list")}
        files = {"labels": prepare.labels, **{name: (path,) for name, path in lists.items() if path}}
        for name, paths in files.items():
            for path in paths:
                with self._collected():
                    self._check_file(f"prepare.{name}", path)

    def _check_images(self, pattern: str) -> None:
        uri = self._resolve(pattern)
        glob = _GLOB.search(uri)
        folder = uri[: glob.start()].rpartition("/")[0] if glob else uri
        if not Store(uri).exists() and not (glob and Store(folder).exists()):
            raise ConfigError(f"prepare.images {pattern!r}: no such folder")

    def _check_file(self, name: str, value: str) -> None:
        store, file = parent_and_name(self._resolve(value))
        if not store.exists(file):
            raise ConfigError(f"{name} {value!r}: no such file")

    def _check_inputs(self) -> None:
        """Checks what a job needs and no job before it makes."""
        for job in self._jobs.values():
            for option, maker in (("--data", "prepare"), ("--model", "train"), ("--predictions", "score")):
                if option in job.options and maker not in self._jobs:
                    with self._collected():
                        self._check_input(option, job.options[job.options.index(option) + 1])

    def _check_input(self, option: str, value: str) -> None:
        uri = self._resolve(value)
        if option == "--data":
            PreparedDataset.open(uri)
        elif option == "--model":
            from cxr_spark.models.metadata_file import load_metadata

            load_metadata(Store(uri))
        elif not Store(uri).exists():
            raise ConfigError(f"{option} {value}: no such file or folder")

    def _check_shown_data(self, data: str) -> None:
        """Checks that the images of the report are there, unless it is this pipeline that makes them."""
        prepare = self._jobs.get("prepare")
        if prepare is None or Store(self._resolve(data)).uri != Store(self._resolve(prepare.out)).uri:
            PreparedDataset.open(self._resolve(data))

    def _check_explanations(self) -> None:
        """Checks that the maps of the report are there, unless an earlier job of this pipeline makes them."""
        path = self._settings.evaluate.explanations
        if "evaluate" not in self._jobs or path is None or self._settings.evaluate.pictures != "show":
            return
        with self._collected():
            if not self._is_made_before("evaluate", "explain", "evaluate.explanations", path):
                Explanations.open(self._resolve(path))

    def _is_made_before(self, job: str, maker: str, name: str, path: str) -> bool:
        """Whether another job of this pipeline makes what a job reads.

        Raises:
            ConfigError: it does, but runs only after it.
        """
        if maker not in self._jobs:
            return False
        made = Store(self._resolve(self._jobs[maker].out)).uri.rstrip("/")
        if not f"{Store(self._resolve(path)).uri}/".startswith(f"{made}/"):
            return False
        order = list(self._jobs)
        if order.index(maker) > order.index(job):
            raise ConfigError(
                f"{name} {path} is what {maker} makes, which runs after {job}: change the order of pipeline.steps, or "
                f"run {job} once more when the pipeline is done, with an --out of its own"
            )
        return True

    def _check_train(self) -> None:
        from cxr_spark.bigdl import limits
        from cxr_spark.models.architectures import architecture, build_empty
        from cxr_spark.models.freezing import freeze
        from cxr_spark.models.initial_weights import resolve_weights
        from cxr_spark.training.soft_labels import Teacher

        model = self._settings.model
        with self._collected():
            known = architecture(model.architecture)
            with self._collected():
                self._check_sizes(known.name, model.input_size or known.input_size)
            with self._collected():
                resolve_weights(model.weights, model.architecture, default_fs=self._resolve("/"))
            with self._collected():
                freeze(build_empty(model.architecture, 1, hidden=model.hidden), model.freeze)
        with self._collected():
            Teacher.of(self._settings.train, self._resolve("/"))
        if self._settings.train.backend == "bigdl":
            with self._collected():
                limits.check_settings(self._settings)

    def _check_tracking(self) -> None:
        """Checks that MLflow answers, which makes the experiment, so that all else must be in order."""
        train = None if self._problems else self._jobs.get("train")
        if train and not Store(self._resolve(train.out)).exists(DONE_NAME):
            with self._collected():
                following.check_tracking(self._settings.train.mlflow)

    def _check_explain(self) -> None:
        explain, model = self._settings.explain, self._settings.model
        if explain.boxes:
            with self._collected():
                self._check_file("explain.boxes", explain.boxes)
        elif explain.only == "boxed":
            self._problems.append(ConfigError("explain.only is boxed, but explain.boxes is not set: give the list"))
        if explain.image_list:
            with self._collected():
                if not self._is_made_before("explain", "evaluate", "explain.image_list", explain.image_list):
                    self._check_file("explain.image_list", explain.image_list)
        if "train" in self._jobs and explain.layers:
            from cxr_spark.explanation.layers import check_layer_names

            with self._collected():
                check_layer_names(model.architecture, explain.layers)

    def _check_sizes(self, name: str, side: int) -> None:
        from cxr_spark.augmentation.building import from_config
        from cxr_spark.models.architectures import check_input_size
        from cxr_spark.training.start import held_side

        augmentations = from_config(self._settings.train.augmentations)
        check_input_size(name, side)
        prepared = self._settings.prepare.size
        if "prepare" not in self._jobs:
            try:
                job = self._jobs["train"]
                uri = self._resolve(job.options[job.options.index("--data") + 1])
                prepared = PreparedDataset.open(uri).size
            except (CxrError, FileNotFoundError):
                return  # told by the check of inputs
        held_side(prepared, side, augmentations)
