"""Settings of the jobs that use a trained model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cxr_spark.config.precision import EngineChoice, Precision
from cxr_spark.config.section import DicomSettings, Section, Seed, from_commas, to_commas

_SPLITS = ("train", "val", "test")
#: What is averaged over several models, or views of an image.
Average = Literal["probabilities", "logits", "ranks"]


def _check_splits(value: str) -> str:
    names = value.split(",")
    if value != "all" and (len(set(names)) < len(names) or not set(names) <= set(_SPLITS)):
        raise ValueError(f"expected all, or one or more of {', '.join(_SPLITS)} with commas between them")
    return value


class ScoreSettings(Section):
    """How images are scored."""

    split: Annotated[str, BeforeValidator(to_commas), AfterValidator(_check_splits)] = Field(
        "test", description="split of prepared data that is scored: train, val, test, several such as val,test, or all"
    )
    batch: int = Field(32, ge=1, le=4096, description="number of images in one forward pass")
    engine: EngineChoice = Field(
        "auto",
        description="library that runs the network; openvino: on CPUs, needs pip install 'cxr-spark[openvino]', and "
        "executors need no torch; auto: torch",
    )
    precision: Precision = Field(
        "auto",
        description="number format of the computation; bf16: faster where the hardware has it, but single AUCs "
        "differ by a few thousandths; auto: fp32, so that all machines give the same AUCs",
    )
    image_index: Literal["name", "path"] = Field(
        "name",
        description="how a raw image is named: name: by its file name; path: by its path below the searched folder",
    )
    storage: Literal["checked", "trusted"] = Field(
        "checked",
        description="checked: each file of prepared data is compared with its SHA-256 in the manifest when it is read; "
        "trusted: it is taken as it is",
    )
    dicom: DicomSettings = Field(DicomSettings(), description=DicomSettings.__doc__)
    average: Average = Field(
        "probabilities",
        description="what is averaged over several models, and over the views of tta; ranks: among the validation "
        "images of calibration_data",
    )
    tta: Literal["none", "flip"] = Field(
        "none", description="views of an image that are averaged; flip: the image and its mirror image"
    )
    calibrate: Literal["none", "platt"] = Field(
        "none",
        description="how probabilities are made to fit the labels of validation images before they are averaged; "
        "platt: by a logistic regression for each model and finding",
    )
    calibration_data: str | None = Field(
        None,
        description="URI of prepared data on whose validation images models are calibrated or ranked; refused where "
        "the models of a cross-validation were trained on them; default: the prepared data that are scored",
    )
    format: Literal["parquet", "csv"] = Field(
        "parquet", description="format of the predictions; csv has columns for each finding, whatever columns says"
    )
    columns: Literal["lists", "findings"] = Field(
        "lists",
        description="lists: the probabilities of an image are one list; findings: beside it each finding has a column "
        "of its own, such as prob_Effusion",
    )
    thresholds: str | None = Field(
        None,
        description="URI of an evaluation of the same model whose thresholds were chosen on validation images; each "
        "finding is then called or not, beside its probability; refused where a model of a cross-validation was "
        "trained on those images",
    )
    operating_point: Literal["f1", "youden", "sensitivity_90", "sensitivity_95", "specificity_90", "specificity_95"] = (
        Field("f1", description="by which rule the thresholds of that evaluation were chosen")
    )

    @property
    def needs_reference(self) -> bool:
        """Whether validation images are scored first, to calibrate models or for ranks."""
        return self.average == "ranks" or self.calibrate != "none"

    @model_validator(mode="after")
    def _one_scale(self) -> ScoreSettings:
        if self.average == "ranks" and self.calibrate != "none":
            raise ValueError(
                f"calibrate={self.calibrate} changes no rank, and average is ranks: use calibrate=none, or another "
                "average"
            )
        return self


class EvaluateSettings(Section):
    """How predictions are evaluated."""

    split: Literal["train", "val", "test", "all"] = Field(
        "all",
        description="whose images are evaluated; with one of them the AUCs of the other splits in the predictions "
        "stand beside, and thresholds are chosen on val",
    )
    task: Literal["auto", "multi_label", "single_label"] = Field(
        "auto",
        description="multi_label: each finding is decided on by a threshold; single_label: the most probable class; "
        "auto: what the predictions say, else multi_label",
    )
    test_list: str | None = Field(
        None,
        description="URI of the list of test images, such as NIH's test_list.txt, for predictions that get their "
        "labels by --labels: only its images are evaluated",
    )
    train_list: str | None = Field(
        None, description="URI of the list of training images: they are counted, and evaluated with split=train alone"
    )
    baseline: str | None = Field(None, description="URI of predictions of another model, which are compared with these")
    data: str | None = Field(
        None,
        description="URI of the prepared data that hold the images: the report shows those of the worst mistakes",
    )
    explanations: str | None = Field(
        None,
        description="URI of the output of explain for the same model: the report shows its maps of the worst mistakes",
    )
    pictures: Literal["show", "leave_out"] = Field(
        "show",
        description="images of `data` and maps of `explanations` in the report; leave_out: only names stand there",
    )
    index_column: str | None = Field(
        None,
        description="the column of another tool's predictions that names the images; default: Image Index, image_id, "
        "path, filename or the like, whichever is there",
    )
    prob_prefix: str | None = Field(
        None,
        description="what comes before the finding in the names of the columns of probabilities; default: prob_, or "
        "nothing where no column begins so",
    )
    scores: Literal["probabilities", "logits"] = Field(
        "probabilities",
        description="what the numbers in another tool's predictions are; logits become probabilities by a sigmoid, or "
        "by a softmax where task is single_label",
    )
    calibration: Literal["temperature", "isotonic"] = Field(
        "temperature",
        description="how probabilities are calibrated on the validation images, for the report; temperature: one "
        "number for each finding; isotonic: a monotone curve for each finding, which wants 1,000 validation images or "
        "more and needs pip install 'cxr-spark[calibration]'",
    )
    replicates: int = Field(
        1000, ge=0, le=100_000, description="number of bootstrap replicates for confidence intervals; 0: no intervals"
    )
    seed: Seed = Field(42, description="seed of the bootstrap draws")


class ExplainSettings(Section):
    """Which images are explained, and how."""

    split: Literal["train", "val", "test", "all"] = Field(
        "test", description="split of prepared data that is explained"
    )
    only: Literal["all", "boxed"] = Field(
        "all", description="which images are explained; boxed: only those with a box of one of the model's findings"
    )
    image_list: str | None = Field(
        None,
        description="URI of a list of the images that are explained: one name a line, or a table such as "
        "tables/mistakes.csv of evaluate, whose column finding says what each is explained for",
    )
    limit: int | None = Field(
        None, ge=1, le=2**40, description="number of images that are explained, the first ones; default: all"
    )
    finding: str = Field("top", description="finding that is explained; top: the most probable one of each image")
    method: Literal["gradcam", "gradcam++"] = Field(
        "gradcam",
        description="how maps are made; gradcam++: weighs places, so that several places of one finding stand out",
    )
    layers: Annotated[tuple[str, ...], BeforeValidator(from_commas)] = Field(
        (), description="layers whose feature maps are drawn, too, such as layer1,layer4.2.conv3"
    )
    batch: int = Field(16, ge=1, le=4096, description="images per forward pass")
    image_index: Literal["name", "path"] = Field("name", description="how a raw image is named: see score.image_index")
    dicom: DicomSettings = Field(DicomSettings(), description=DicomSettings.__doc__)
    storage: Literal["checked", "trusted"] = Field(
        "checked", description="whether files of prepared data are compared with their SHA-256: see score.storage"
    )
    boxes: str | None = Field(
        None, description="URI of radiologists' boxes: NIH's BBox_List_2017.csv, or RSNA's stage_2_train_labels.csv"
    )
    box_side: int | None = Field(
        1024,
        ge=1,
        le=100_000,
        description="side in pixels of the images on which the boxes were drawn; null: they are the given images",
    )
    threshold: float = Field(
        180 / 255,
        gt=0,
        lt=1,
        description="fraction of a map's maximum above which a pixel counts as highlighted, for the overlap with boxes",
    )
    sanity: int = Field(
        0,
        ge=0,
        le=1000,
        description="number of images whose maps are compared with those of the network with random weights, which "
        "should be other ones; 0: none",
    )
    seed: Seed = Field(42, description="seed of the random weights of sanity, and of the draw of its images")
