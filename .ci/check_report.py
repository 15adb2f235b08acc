"""Reads the JSON report of a run on stdin: fails unless its metrics are finite and the model beats the
mean shape of the class, each at its best threshold."""

import json
import math
import sys

report = json.loads(sys.stdin.read())
metrics = report.get("metrics")
if not metrics:
    sys.exit(f"the report has no metrics; it has: {', '.join(sorted(report))}")
for row in metrics:
    value = row.get("value")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        sys.exit(f"a metric is no number: {row}")


def best_iou(subject):
    rows = [row for row in metrics if row["name"] == "iou" and row["subject"] == subject]
    return max(row["value"] for row in rows if row["category"] == "*")


model, mean_shape = best_iou("model"), best_iou("mean_shape")
print(f"test IoU {model:.4f}, mean shape {mean_shape:.4f}, {report['elapsed_s']:.0f} s")
if model <= mean_shape:
    sys.exit("the model does not beat the mean shape of the class")
