"""Runs statements in DuckDB, and shows what they make of a table.

    duckdb_rows.py TABLE < STATEMENTS

STATEMENTS has a line of JSON for each: {"sql": .., "most": .. or null}. The
query "most" tells of a MERGE how many rows of its source would change one row
of the table. DuckDB changes such a row by one of them, so it is not run.
Prints a line for each: RESULT {"twice": bool, "count": .., "rows": [..]}, the
rows as text and sorted.
"""

import datetime
import json
import sys

import duckdb

connection = duckdb.connect()


def cell(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, int | float | str):
        return str(value)
    raise SystemExit(f"duckdb_rows.py cannot show a {type(value).__name__}")


def fetch(sql):
    try:
        return connection.execute(sql).fetchall()
    except Exception as error:
        raise SystemExit(f"DuckDB says to {sql}: {error}")


for line in sys.stdin:
    statement = json.loads(line)
    most = fetch(statement["most"])[0][0] if statement["most"] else 0
    twice = most > 1
    count = None if twice else (fetch(statement["sql"]) or [[None]])[0][0]
    rows = []
    if not statement["sql"].startswith("CREATE"):
        rows = sorted("|".join(map(cell, row)) for row in fetch(f"SELECT * FROM {sys.argv[1]}"))
    print("RESULT " + json.dumps({"twice": twice, "count": count, "rows": rows}))
