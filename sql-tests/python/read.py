"""Reads versions of a table with Python atio.

    read.py TABLE VERSION...

VERSION is a number, or newest for whatever read_table takes by itself.
Prints one line a version, in the order asked for:
RESULT {"columns": [...], "rows": [[...], ...]} with every missing value as
null, RESULT {"none": true} where read_table returned None, or
RESULT {"error": "Kind: message"}.
"""

import datetime
import decimal
import json
import math
import sys

import atio
import numpy as np
import pandas as pd


def canonical(value):
    if isinstance(value, np.ndarray | list):
        return [canonical(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item() if not isinstance(value, np.datetime64) else pd.Timestamp(value)
    if value is None or pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        if value.tzinfo is None:
            return value.isoformat(timespec="nanoseconds")
        return value.tz_convert("UTC").tz_localize(None).isoformat(timespec="nanoseconds") + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if isinstance(value, bool | int | float | str):
        return value
    raise SystemExit(f"read.py cannot show a {type(value).__name__}")


def read(table, version):
    try:
        frame = atio.read_table(table, version=version)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    if frame is None:
        return {"none": True}
    columns = [[canonical(value) for value in frame[name]] for name in frame.columns]
    return {"columns": list(frame.columns), "rows": [list(row) for row in zip(*columns)]}


for version in sys.argv[2:]:
    number = None if version == "newest" else int(version)
    print("RESULT " + json.dumps(read(sys.argv[1], number)))
