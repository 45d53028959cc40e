"""Inputs inside outputs and the reverse, seen through globs, links, names of hosts and mount tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxr_spark.errors import UsageError
from cxr_spark.outputs.overlap import refuse_overlap
from cxr_spark.storage.places import contains, glob_reaches, place_of


def test_outputs_beside_inputs_are_fine(tmp_path: Path) -> None:
    (tmp_path / "nih" / "images_001").mkdir(parents=True)
    for glob in ("images_*", "images_*/images/*.png", "images_00[1-3]", "images_{001,002}/images"):
        refuse_overlap(f"file://{tmp_path}/nih/prepared", {"--images": [f"file://{tmp_path}/nih/{glob}"]})
    for glob in ("*/*.png", "prepared/*.png", "p{repared,x}/a", "[!p]*"):
        refuse_overlap(f"file://{tmp_path}/nih/prepared/sub", {"--images": [f"file://{tmp_path}/nih/{glob}"]})
    refuse_overlap("file:///runs/1/scores", {"--model": ["file:///runs/1/model"], "--labels": ["file:///runs/l.csv"]})
    refuse_overlap("file:///runs/12", {"--model": ["file:///runs/1"], "--data": [None]})


@pytest.mark.parametrize(
    "glob", ["*", "**/*.png", "*/*/*.png", "prep*", "prepared/s*", "p{repared,x}/sub", "[op]repared", "*/sub/x/*.png"]
)
def test_a_glob_that_would_read_the_output_is_refused(glob: str) -> None:
    with pytest.raises(UsageError, match="next run would read"):
        refuse_overlap("file:///nih/prepared/sub", {"--images": [f"file:///nih/{glob}"]})
    assert glob_reaches(f"hdfs://nn/nih/{glob}", "hdfs://NN:8020/nih/prepared/sub")


def test_links_below_an_input_are_seen(tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    for folder in (images / "deep", out / "in", tmp_path / "other"):
        folder.mkdir(parents=True)
    (images / "deep" / "link").symlink_to(tmp_path / "other")
    given = {"--images": [images.as_uri()]}
    refuse_overlap(out.as_uri(), given)
    (tmp_path / "other" / "more").symlink_to(out / "in")
    with pytest.raises(UsageError, match="holds a symbolic link to"):
        refuse_overlap(out.as_uri(), given)
    (tmp_path / "other" / "more").unlink()
    (out / "1.png").write_bytes(b"")
    (images / "1.png").symlink_to(out / "1.png")
    with pytest.raises(UsageError, match="holds a symbolic link to"):
        refuse_overlap(out.as_uri(), given)
    (images / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"")
    (images / "2.png").symlink_to(tmp_path / "2.png")  # its folder holds the output, and only the file is read
    refuse_overlap(out.as_uri(), given)


HADOOP = {
    "fs.defaultFS": "viewfs://Cluster",
    "fs.viewfs.mounttable.Cluster.link./data": "hdfs://pair/warehouse",
    "fs.viewfs.mounttable.Cluster.link./data/deep": "hdfs://other:8020/deep",
    "fs.viewfs.mounttable.Cluster.linkFallback": "hdfs://pair/",
    "dfs.nameservices": "pair,second",
    "dfs.ha.namenodes.pair": "nn1, nn2",
    "dfs.namenode.rpc-address.pair.nn1": "Node1:8020",
    "dfs.namenode.rpc-address.pair.nn2": "node2:9000",
}


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("hdfs://NameNode:8020/a", "hdfs://namenode/a"),
        ("hdfs://namenode/a", "hdfs://namenode/a"),
        ("hdfs://namenode:9000/a", "hdfs://namenode:9000/a"),
        ("hdfs://pair/a", "hdfs://pair/a"),
        ("hdfs://node1/a", "hdfs://pair/a"),
        ("hdfs://NODE2:9000/a", "hdfs://pair/a"),
        ("hdfs://node2:8020/a", "hdfs://node2/a"),
        ("viewfs://Cluster/data/x", "hdfs://pair/warehouse/x"),
        ("viewfs://cluster/data", "hdfs://pair/warehouse"),
        ("viewfs:///data/deep/x", "hdfs://other/deep/x"),
        ("viewfs://Cluster/user/me", "hdfs://pair/user/me"),
        ("viewfs://Unknown/x", "viewfs://unknown/x"),
        ("s3a://Bucket/x", "s3://bucket/x"),
        ("s3://bucket/x", "s3://bucket/x"),
    ],
)
def test_one_place_has_one_name(uri: str, place: str) -> None:
    assert place_of(uri, HADOOP) == place


def test_a_view_is_seen_through() -> None:
    with pytest.raises(UsageError, match="lies in --out"):
        refuse_overlap("hdfs://node1/warehouse/out", {"--images": ["viewfs://Cluster/data/out/in"]}, HADOOP)
    with pytest.raises(UsageError, match="next run would read"):
        refuse_overlap("viewfs://Cluster/data/in/out", {"--images": ["hdfs://pair/warehouse/in"]}, HADOOP)
    refuse_overlap("viewfs://Cluster/data/out", {"--images": ["hdfs://other/warehouse"]}, HADOOP)


def test_mount_tables_are_read_from_hadoops_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cxr_spark.runtime.spark_files import hadoop_settings

    def write(name: str, body: str) -> None:
        (tmp_path / name).write_text(
            f'<configuration xmlns:xi="http://www.w3.org/2001/XInclude">{body}</configuration>'
        )

    def entry(name: str, value: str) -> str:
        return f"<property><name>{name}</name><value>{value}</value></property>"

    write("core-site.xml", entry("fs.defaultFS", "viewfs://c") + '<xi:include href="mounts.xml"/>')
    write("mounts.xml", entry("fs.viewfs.mounttable.c.link./a", "hdfs://pair/x"))
    write("hdfs-site.xml", entry("dfs.nameservices", "pair"))
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    found = hadoop_settings({"spark.hadoop.dfs.ha.namenodes.pair": "nn1", "spark.master": "yarn"})
    assert found == {
        "fs.defaultFS": "viewfs://c",
        "fs.viewfs.mounttable.c.link./a": "hdfs://pair/x",
        "dfs.nameservices": "pair",
        "dfs.ha.namenodes.pair": "nn1",
    }
    assert contains("hdfs://pair/x", "viewfs:///a/b", found)
