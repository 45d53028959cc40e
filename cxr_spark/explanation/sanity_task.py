"""The task of the sanity check: it compares maps of some images as the network's weights become random. No Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxr_spark.explanation.gradcam import GradCam
from cxr_spark.explanation.images import ImageSource, ViewedImage
from cxr_spark.explanation.layers import gradcam_layer
from cxr_spark.explanation.network import first_finding, input_of
from cxr_spark.explanation.plan import ChosenPart
from cxr_spark.explanation.random_weights import Stage, compare_maps
from cxr_spark.explanation.sanity import DRAWS, CheckedMaps
from cxr_spark.imaging.prepare import use_one_thread
from cxr_spark.models.architectures import build
from cxr_spark.scoring.predict import activate
from cxr_spark.scoring.shipped import ShippedModel
from cxr_spark.scoring.torch_engine import TorchModel, load


@dataclass(frozen=True)
class SanityCheck:
    """Compares maps of images of several parts. Spark sends it to one executor.

    Attributes:
        model: the model that is explained.
        source: where the images come from.
        finding: the name of the finding that is explained, or `TOP`.
        method: a key of `tables.explained.METHODS`.
        threads: the number of CPU threads of the task.
        batch: the number of images in a forward pass.
        seed: the seed of the random weights.
        listed: the findings that single images are explained for, by image_index: the first one is compared.
    """

    model: ShippedModel
    source: ImageSource
    finding: str
    method: str
    threads: int
    batch: int
    seed: int
    listed: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    def __call__(self, groups: Iterable[Sequence[ChosenPart]]) -> Iterator[CheckedMaps]:
        """Compares the maps of the images of each group; raw images that cannot be read are left out.

        Raises:
            DataError: the prepared data are damaged.
            RunError: a file cannot be read.
        """
        use_one_thread()
        for chosen_parts in groups:
            # A model of its own, since its weights are changed, and one with its batch norms, which are changed, too.
            yield self._checked(chosen_parts, load(self.model, self.threads, fused=False))

    def _checked(self, chosen_parts: Sequence[ChosenPart], model: TorchModel) -> CheckedMaps:
        metadata = model.metadata
        names: list[str] = []
        squares: list[NDArray[np.uint8]] = []
        for chosen in chosen_parts:
            for image in self.source.images(chosen, metadata.preprocessing, self.batch, self.threads):
                if isinstance(image, ViewedImage):
                    names.append(image.image_index)
                    squares.append(image.pixels)
        if not names:
            return CheckedMaps((), (), (0, 0), (), ())
        shown, cells = self._shown(names, squares, model)
        trained = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
        found: list[tuple[list[int], list[Stage]]] = []
        for draw in range(min(DRAWS, len(names))):
            places = list(range(draw, len(names), DRAWS))
            starts = range(0, len(places), self.batch)
            batches = [places[start : start + self.batch] for start in starts]
            model.module.load_state_dict(trained)
            build_arguments = metadata.build.model_dump()
            fresh = build(metadata.architecture, metadata.n_outputs, **build_arguments, seed=self.seed + draw)
            stages = compare_maps(
                model.module,
                fresh,
                gradcam_layer(metadata),
                [input_of([squares[place] for place in batch], model) for batch in batches],
                [[shown[place] for place in batch] for batch in batches],
                plus_plus=self.method == "gradcam++",
            )
            found.append((places, stages))
        blocks = tuple((stage.block, stage.random) for stage in found[0][1])
        correlations = [[None] * len(names) for _ in blocks]  # type: list[list[float | None]]
        for places, stages in found:
            for of_block, stage in zip(correlations, stages, strict=True):
                for place, value in zip(places, stage.correlations, strict=True):
                    of_block[place] = value
        findings = tuple(metadata.findings[place] for place in shown)
        return CheckedMaps(tuple(names), findings, cells, blocks, tuple(map(tuple, correlations)))

    def _shown(
        self, names: list[str], squares: list[NDArray[np.uint8]], model: TorchModel
    ) -> tuple[list[int], tuple[int, int]]:
        """Returns the number of the finding that is shown of each image, and the height and width of a map."""
        shown: list[int] = []
        metadata = model.metadata
        with GradCam(model.module, gradcam_layer(metadata)) as cam:
            for start in range(0, len(squares), self.batch):
                logits = cam.logits(input_of(squares[start : start + self.batch], model))
                probabilities = activate(logits, metadata.task).cpu().numpy()
                shown += [
                    first_finding(name, row, metadata.findings, self.finding, self.listed)
                    for name, row in zip(names[start : start + self.batch], probabilities, strict=True)
                ]
            height, width = cam.maps([0], [0])[0].shape
        return shown, (height, width)
