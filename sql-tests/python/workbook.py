"""Reads a workbook with openpyxl.

    workbook.py FILE

Prints one line a sheet: RESULT {"name": .., "freeze": .., "filter": ..,
"rows": [[[value, kind, number format, bold], ..], ..]}. The kind is n for a
number, s for text, b for a boolean, d for a date and f for a formula.
"""

import datetime
import json
import sys

import openpyxl
from openpyxl.utils.escape import unescape


def canonical(value):
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return f"{value.total_seconds()} s"
    # openpyxl leaves it to its callers to take Excel's _xHHHH_ for characters.
    if isinstance(value, str):
        return unescape(value)
    return value


for sheet in openpyxl.load_workbook(sys.argv[1]).worksheets:
    rows = [
        [[canonical(cell.value), cell.data_type, cell.number_format, cell.font.b] for cell in row]
        for row in sheet.iter_rows()
    ]
    print("RESULT " + json.dumps({
        "name": sheet.title,
        "freeze": sheet.freeze_panes,
        "filter": sheet.auto_filter.ref,
        "rows": rows,
    }))
