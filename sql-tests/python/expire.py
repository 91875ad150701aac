"""Expires versions of a table with Python atio, for real.

    expire.py TABLE DAYS

Keeps what is younger than DAYS days. Prints RESULT {"done": true}, or
RESULT {"error": "Kind: message"}.
"""

import datetime
import json
import sys

import atio

table, days = sys.argv[1:]
try:
    atio.expire_snapshots(table, keep_for=datetime.timedelta(days=int(days)), dry_run=False)
    result = {"done": True}
except Exception as error:
    result = {"error": f"{type(error).__name__}: {error}"}
print("RESULT " + json.dumps(result))
