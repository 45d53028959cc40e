import json

from cxr_spark.commands.main import main


def test_every_step_is_measured_beside_its_bare_loop(tmp_path, spark):
    options = ["--images", "80", "--size", "64", "--input-size", "32", "--batch", "16"]
    assert main(["benchmark", "--out", str(tmp_path / "out"), *options]) == 0
    result = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert set(result["steps"]) == {"prepare", "train", "score"}
    for step in result["steps"].values():
        assert step["images_per_second"] > 0
        assert step["ratio"] == round(step["ratio"], 3)
        assert abs(step["images_per_second"] / step["bare_images_per_second"] - step["ratio"]) < 0.01
    assert result["machine"]["cores"] >= 1
