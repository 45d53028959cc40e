"""Label tables of anybody's own layout: which columns are taken for what, and what their cells mean."""

from __future__ import annotations

import io
import logging
import math

import numpy as np
import pandas as pd
import pytest

from cxr_spark.config.labels import LabelSettings
from cxr_spark.datasets.base import LabelFile, LabelTable
from cxr_spark.datasets.own_csv import read_own_labels
from cxr_spark.errors import ConfigError, DataError

ROWS = """file,pid,Alter,gender,projection,subset,Effusion,Pacemaker,note
a/1.png,P1,58,M,PA,train,1,0,x
a/2.png,P1,58,m,lateral,train,,1,
b/3.png,P2,061Y,Female,AP,test,-1,0,y
b/4.png,,,,,test,0,,z
"""


def read(text: str, *more: str, **settings: object) -> LabelTable:
    files = [LabelFile(each.encode(), f"own{i}.csv") for i, each in enumerate((text, *more), start=1)]
    return read_own_labels(files, LabelSettings(**settings))  # type: ignore[arg-type]


def refusal(text: str, *more: str, **settings: object) -> str:
    with pytest.raises(DataError) as caught:
        read(text, *more, **settings)
    return str(caught.value)


def labels_of(table: LabelTable) -> np.ndarray:
    return np.stack(table.table["labels"].to_numpy())


def test_columns_are_found_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        labels = read(ROWS, age_column="Alter")
    assert labels.findings == ("Effusion", "Pacemaker")
    frame = labels.table.drop(["labels"]).to_pandas().astype(object)
    frame = frame.where(frame.notna(), None)
    assert frame["image_index"].tolist() == ["a/1.png", "a/2.png", "b/3.png", "b/4.png"]
    assert frame["patient_id"].tolist() == ["P1", "P1", "P2", None]
    assert frame["sex"].tolist() == ["M", "M", "F", None]
    assert frame["view_position"].tolist() == ["PA", "LATERAL", "AP", None]
    assert frame["age"].tolist() == [58.0, 58.0, 61.0, None]
    assert labels.given_split is not None
    assert labels.given_split.to_pylist() == ["train", "train", "test", "test"]
    assert labels.usual_split == "column"
    np.testing.assert_array_equal(labels_of(labels), [[1, 0], [math.nan, 1], [math.nan, 0], [0, math.nan]])
    assert (labels.notes["uncertain"], labels.notes["blank"], labels.notes["patients_unknown"]) == (1, 2, 1)
    line = next(record.message for record in caplog.records if "columns taken" in record.message)
    assert "image 'file', patient 'pid', split 'subset', view 'projection', sex 'gender', age 'Alter'" in line
    assert "findings 'Effusion', 'Pacemaker'; left out: 'note'" in line


def test_policies_of_uncertain_and_empty_cells() -> None:
    labels = read(ROWS, blank="zeros", uncertain={"effusion": "ones"})
    np.testing.assert_array_equal(labels_of(labels), [[1, 0], [0, 1], [1, 0], [0, 0]])
    with pytest.raises(ConfigError, match="uncertain: 'Mass' is no finding of the label file: expected Effusion, Pace"):
        read(ROWS, uncertain={"Mass": "ones"})


def test_what_pandas_writes_is_read_as_pandas_has_it() -> None:
    frame = pd.DataFrame({"image_id": ["x", "y", "z"], "Nodule": [1.0, math.nan, 0.0], "Line": [True, False, True]})
    text = io.StringIO()
    frame.to_csv(text)  # with the column of row numbers that has no name
    labels = read(text.getvalue())
    assert labels.findings == ("Nodule", "Line")
    np.testing.assert_array_equal(labels_of(labels), frame[["Nodule", "Line"]].to_numpy(float))
    assert labels.usual_split == "patient"


@pytest.mark.parametrize(("separator", "given"), [("|", None), (";", None), (", ", None), ("/", "/")])
def test_a_column_of_names(separator: str, given: str | None) -> None:
    cells = [f"Effusion{separator}my finding", "No Finding", "effusion", "Effusion"]
    text = "Image\tDiagnosis\n" + "".join(f"{i}.png\t{cell}\n" for i, cell in enumerate(cells))
    labels = read(text, findings_separator=given)
    assert labels.findings == ("Effusion", "my finding", "No Finding")
    np.testing.assert_array_equal(labels_of(labels), [[1, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]])


def test_several_files_have_one_vocabulary() -> None:
    labels = read("image,findings\na,Mass\n", "image,findings,pid\nb,Edema|Mass,P1\n")
    assert labels.findings == ("Edema", "Mass")
    np.testing.assert_array_equal(labels_of(labels), [[0, 1], [1, 1]])
    assert "own2.csv and own1.csv have other columns of findings" in refusal("image,A\nx,1\n", "image,B\ny,1\n")


@pytest.mark.parametrize(
    ("text", "settings", "said"),
    [
        ("image,file,A\na,b,1\n", {}, "'image', 'file' could each be the column of image: choose one by --image-c"),
        ("image,sex,gender,A\na,M,M,1\n", {}, "could each be the column of sex: choose one by --sex-column"),
        ("scan,A\na,1\n", {}, "no column names the images: name it by --image-column; the first line has 'scan', 'A'"),
        ("image,A\na,1\n", {"patient_column": "who"}, r"no column 'who' (--patient-column)"),
        ("image,A,B\na,1,0\nb,0,yes\n", {"finding_columns": "A,B"}, "line 3: B: 'yes' is no finding, expected 1, 0"),
        ("image,A\na,1\nb,0\nc,2\n", {}, "line 4: column 'A' holds '2', and mostly 0 and 1 elsewhere"),
        ("image,A,label\na,1,Mass\n", {}, "choose by --finding-columns or --findings-column"),
        ("image,note\na,hello\n", {}, "no column holds findings"),
        ("image,label\na,Mass\nb,\n", {}, "line 3: label: '' names no finding"),
        ("image,label\na,Mass|No Finding\n", {}, "line 2: label: 'Mass|No Finding' has 'No Finding' together"),
        ("image,label\na,Mass|Edema;left\n", {}, "'|' and ';' between or within names"),
        ("image,A\na,1\na,0\n", {}, "line 3: image 'a' is labelled '0', but '1' on line 2"),
        ("image,A\n,1\n", {}, "line 2: image: is empty, expected the name of an image"),
        ("image,age,A\na,old,1\n", {}, "line 2: age: 'old' is not an age"),
        ("image,A\na,1\n", {"image_column": "A"}, "no column holds findings"),
        ("image,lung mass,Lung_Mass\na,1,0\n", {}, "would be one finding twice"),
        ("image,sex,A\na,M,1\n", {"view_column": "sex"}, "cannot be both view and sex"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(text: str, settings: dict[str, str], said: str) -> None:
    told = refusal(text, **settings)
    assert said in told
    assert "\n" not in told


def test_findings_that_are_nowhere_absent_and_odd_codes_are_told() -> None:
    labels = read("image,sex,A,B\na,M,1,0\nb,X,,1\n")
    assert any("line 3: sex: 'X' is not F or M, and is taken as not known (1 such cells)" in w for w in labels.warnings)
    assert any("1 findings are absent in no image" in w and "prepare.blank=zeros" in w for w in labels.warnings)
    assert labels.notes["sexes_unknown"] == 1


def test_free_text_is_no_column_of_findings() -> None:
    text = "image,findings\n" + "".join(f"i{i},the patient number {i} is well\n" for i in range(1001))
    assert "1,001 different names, expected at most 1,000" in refusal(text)


def test_two_kinds_of_findings_are_refused_before_any_work() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        LabelSettings(finding_columns=("A",), findings_column="B")


def test_findings_of_a_column_of_names_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read("file,finding\na.png,todo\nb.png,Pneumonia/Viral/COVID-19\nc.png,No Finding\n")
    assert "column 'finding' names the findings Pneumonia/Viral/COVID-19, todo, No Finding" in caplog.text


def test_the_column_of_names_is_offered_where_another_is_nearly_a_finding() -> None:
    rows = "".join(f"{i}.png,{i % 2},COVID-19\n" for i in range(8))
    said = refusal(f"file,offset,finding\n{rows}8.png,7,No Finding\n")
    assert "column 'offset' holds '7'" in said
    assert "or say --findings-column finding if that one names the findings" in said
    assert read(f"file,offset,finding\n{rows}8.png,7,No Finding\n", findings_column="finding").findings[0] == "COVID-19"


def test_rows_that_are_no_radiographs_are_told() -> None:
    table = "filename,finding,Modality\na.png,A,X-ray\nb.png,B,CT\nc.png,A,CT\nd.png,B,MRI\ne.png,B,DX\nf.png,A,\n"
    (warning,) = read(table).warnings
    assert "column 'Modality' says of 3 of 6 rows that they are no radiographs ('CT' 2, 'MRI' 1)" in warning
    assert read(table.replace("CT", "CR").replace("MRI", "x ray")).warnings == ()
