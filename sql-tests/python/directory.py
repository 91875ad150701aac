"""Reads a directory of Parquet files by two libraries, again and again, until a file appears.

Usage: directory.py DIRECTORY UNTIL ROWS

Once both have read, UNTIL.begun appears. Every file has ROWS rows, and each of them says of which
file it is (`n`). Prints one result: how often each library read, and the most files that it saw.
Ends badly if a read fails, or meets a file with other rows.
"""

import json
import pathlib
import sys

import duckdb
import pyarrow.dataset as ds

directory, until, rows = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])


def by_pyarrow():
    table = ds.dataset(directory, format="parquet").to_table()
    return [tuple(row.values()) for row in table.group_by("n").aggregate([([], "count_all")]).to_pylist()]


def by_duckdb():
    sql = f"SELECT count(*), n FROM read_parquet('{directory}/*') GROUP BY n"
    return duckdb.sql(sql).fetchall()


seen = {}
while True:
    over = until.exists()
    for read in (by_pyarrow, by_duckdb):
        found = read()
        for row in found:
            assert rows in row, (read.__name__, row)
        reads, most = seen.get(read.__name__, (0, 0))
        seen[read.__name__] = (reads + 1, max(most, len(found)))
    until.with_suffix(".begun").touch()
    if over:
        break
print("RESULT " + json.dumps(seen))
