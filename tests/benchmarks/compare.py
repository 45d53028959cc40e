"""Compares what `experiments.py` trained: mean and spread over seeds of test AUCs, and intervals of differences.

    python -m tests.benchmarks.compare --data PREPARED --results FOLDER --against plain

AUCs are scikit-learn's. Macro AUC is the mean over NIH's 14 findings, without No Finding, as papers report it. The
interval is of the difference of two experiments' mean over seeds, by 1,000 paired bootstrap rounds over the patients of
the test images; the choice between experiments should be made by the validation AUC, which stands beside.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score

from tests.benchmarks.experiments import finished
from tests.benchmarks.plain_loop import macro_auc


def read_predictions(folder: Path, findings: list[str], split: str) -> pd.DataFrame:
    """Returns the probabilities of one training, a column a finding, with the image's name as index."""
    if (folder / "predictions.csv").exists():
        table = pd.read_csv(folder / "predictions.csv", index_col="Image Index")
        return table.loc[table["split"] == split, [f"prob_{name}" for name in findings]].set_axis(findings, axis=1)
    files = sorted((folder / "predictions").rglob("*.parquet"))
    rows = pd.concat(
        [pq.ParquetFile(file).read(["image_index", "split", "probabilities"]).to_pandas() for file in files]
    )
    rows = rows[rows["split"] == split]
    return pd.DataFrame(np.stack(rows["probabilities"]), index=rows["image_index"], columns=findings)


def read_labels(data: Path, split: str) -> tuple[pd.DataFrame, pd.Series]:
    """Returns the labels, a column a finding, and the patients of a split's images."""
    findings = json.loads((data / "manifest.json").read_text())["findings"]
    files = sorted((data / "data" / f"split={split}").glob("*.parquet"))
    rows = pd.concat([pq.ParquetFile(file).read(["image_index", "labels", "patient_id"]).to_pandas() for file in files])
    rows = rows.set_index("image_index").sort_index()
    labels = np.stack(rows["labels"])
    if np.isnan(labels).any():
        sys.exit(f"{data} has unknown labels, for which these AUCs are not made: prepare data without them")
    return pd.DataFrame(labels.astype(int), index=rows.index, columns=findings), rows["patient_id"]


def fast_macro_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Does what `macro_auc` does, by sums of ranks, for the bootstrap."""
    ranks = pd.DataFrame(scores).rank().to_numpy()
    positives = labels.sum(axis=0)
    with np.errstate(invalid="ignore"):
        wins = (ranks * labels).sum(axis=0) - positives * (positives + 1) / 2
        return float(np.nanmean(wins / (positives * (len(labels) - positives))))


def resampled_differences(
    labels: np.ndarray, ours: list[np.ndarray], theirs: list[np.ndarray], patients: pd.Series, rounds: int
) -> np.ndarray:
    """Returns the difference of both experiments' mean macro AUC in each bootstrap round, float64 (rounds,)."""
    generator = np.random.default_rng(0)
    _, codes = np.unique(patients.to_numpy(), return_inverse=True)
    rows_of = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    differences = np.empty(rounds)
    for number in range(rounds):
        rows = np.concatenate([rows_of[code] for code in generator.integers(len(rows_of), size=len(rows_of))])
        means = [np.mean([fast_macro_auc(labels[rows], each[rows]) for each in side]) for side in (ours, theirs)]
        differences[number] = means[0] - means[1]
    return differences


def main() -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="output of `cxr-spark prepare`")
    parser.add_argument("--results", type=Path, required=True, help="output of experiments.py")
    parser.add_argument("--against", default="plain", help="the experiment that all others are compared with")
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    labels, patients = {}, {}
    for split in ("val", "test"):
        labels[split], patients[split] = read_labels(args.data, split)
    findings = list(labels["test"].columns)
    papers = [name for name in findings if name != "No Finding"]
    experiments: dict[str, list[dict[str, pd.DataFrame]]] = {}
    for folder in sorted(args.results.iterdir(), key=lambda path: path.stat().st_ctime):
        if finished(folder):
            tables = {split: read_predictions(folder, findings, split).loc[labels[split].index] for split in labels}
            experiments.setdefault(folder.name.rpartition("_")[0], []).append(tables)
    if args.against not in experiments:
        sys.exit(f"{args.results} has no finished training of {args.against!r}, only of {sorted(experiments)}")
    theirs = [tables["test"][papers].to_numpy() for tables in experiments[args.against]]
    print(
        "| experiment | seeds | val macro AUC | test macro AUC | test micro AUC | difference to " + args.against + " |"
    )
    print("|---|---|---|---|---|---|")
    for name, runs in experiments.items():
        cells = []
        for split, columns, measure in (
            ("val", papers, "macro"),
            ("test", papers, "macro"),
            ("test", findings, "micro"),
        ):
            truth = labels[split][columns].to_numpy()
            scores = [tables[split][columns].to_numpy() for tables in runs]
            reached = [
                macro_auc(truth, each) if measure == "macro" else float(roc_auc_score(truth.ravel(), each.ravel()))
                for each in scores
            ]
            cells.append(f"{np.mean(reached):.3f} ± {np.std(reached, ddof=1) if len(reached) > 1 else np.nan:.3f}")
        difference = ""
        if name != args.against:
            ours = [tables["test"][papers].to_numpy() for tables in runs]
            truth = labels["test"][papers].to_numpy()
            resampled = resampled_differences(truth, ours, theirs, patients["test"], args.rounds)
            means = [np.mean([macro_auc(truth, each) for each in side]) for side in (ours, theirs)]
            low, high = np.percentile(resampled, [2.5, 97.5])
            difference = f"{means[0] - means[1]:+.3f} ({low:+.3f} to {high:+.3f})"
        print("|", " | ".join([name, str(len(runs)), *cells, difference]), "|", flush=True)


if __name__ == "__main__":
    main()
