"""Reads the JSON report of a run on stdin and fails unless it has metrics, all of them finite."""

import json
import math
import sys

report = json.loads(sys.stdin.read())
metrics = report.get("metrics")
if not metrics:
    sys.exit(f"the report has no metrics; it has: {', '.join(sorted(report))}")
rows = metrics if isinstance(metrics, list) else [{"name": k, "value": v} for k, v in metrics.items()]
for row in rows:
    value = row.get("value")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        sys.exit(f"a metric is no number: {row}")
print(f"the report has {len(rows)} metrics: {', '.join(sorted({row['name'] for row in rows}))}")
