"""AUCs with intervals, average precision, subgroups, plots and the report, from predictions of any size."""
