"""Writes versions of a table with Python atio, one after the other.

    write.py TABLE MODE... < frames.jsonl

MODE is overwrite or append; each has a line of the input, a frame:
{"columns": [[name, dtype], ...], "rows": [[value, ...], ...]}. null is a
missing value, and "NaN" in a float64 column is the number NaN.
Prints one line a version: RESULT {"done": true}, or
RESULT {"error": "Kind: message"} and goes on.
"""

import datetime
import decimal
import json
import sys

import atio
import pandas as pd


def convert(dtype, values):
    def each(make):
        return [None if v is None else make(v) for v in values]

    if dtype == "float64":
        return pd.Series([float("nan") if v == "NaN" else v for v in values], dtype=dtype)
    if dtype == "date":
        return pd.Series(each(datetime.date.fromisoformat), dtype="object")
    if dtype == "decimal":
        return pd.Series(each(decimal.Decimal), dtype="object")
    if dtype == "bytes":
        return pd.Series(each(bytes.fromhex), dtype="object")
    if dtype.startswith("datetime64") and dtype.endswith("UTC]"):
        return pd.Series(pd.to_datetime(values, format="ISO8601", utc=True)).astype(dtype)
    return pd.Series(values, dtype=dtype)


def write(table, mode, spec):
    columns = {
        name: convert(dtype, [row[at] for row in spec["rows"]])
        for at, (name, dtype) in enumerate(spec["columns"])
    }
    frame = pd.DataFrame(columns)
    try:
        atio.write_snapshot(frame, table, mode=mode, format="parquet")
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"done": True}


for mode, line in zip(sys.argv[2:], sys.stdin, strict=True):
    print("RESULT " + json.dumps(write(sys.argv[1], mode, json.loads(line))))
