"""Writes the benchmark's rows with openpyxl and with XlsxWriter.

    write.py ROWS DIRECTORY

The rows are made before the clock starts. Prints JSON: seconds for each way of writing.
"""

import datetime
import decimal
import json
import pathlib
import sys
import time

import openpyxl
import xlsxwriter

count, directory = int(sys.argv[1]), pathlib.Path(sys.argv[2])
EPOCH = datetime.datetime(2024, 1, 1)
HEADER = ["id", "name", "price", "quantity", "day", "at", "paid", "note"]
ROWS = [
    [
        n,
        f"customer {n % 1000}",
        decimal.Decimal(n * 37 % 100000).scaleb(-2),
        n / 7,
        (EPOCH + datetime.timedelta(days=n % 365)).date(),
        EPOCH + datetime.timedelta(seconds=n),
        n % 3 == 0,
        f"row number {n} of the benchmark, with a few words",
    ]
    for n in range(count)
]


def with_openpyxl(write_only):
    book = openpyxl.Workbook(write_only=write_only)
    sheet = book.create_sheet() if write_only else book.active
    sheet.append(HEADER)
    for row in ROWS:
        sheet.append(row)
    book.save(directory / "openpyxl.xlsx")


def with_xlsxwriter(constant_memory):
    book = xlsxwriter.Workbook(directory / "xlsxwriter.xlsx", {"constant_memory": constant_memory})
    sheet = book.add_worksheet()
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    at = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
    sheet.set_column(4, 4, 11, day)
    sheet.set_column(5, 5, 24, at)
    sheet.write_row(0, 0, HEADER)
    for n, row in enumerate(ROWS, 1):
        sheet.write_row(n, 0, row[:4])
        sheet.write_datetime(n, 4, row[4], day)
        sheet.write_datetime(n, 5, row[5], at)
        sheet.write_row(n, 6, row[6:])
    book.close()


def seconds(write, *arguments):
    start = time.perf_counter()
    write(*arguments)
    return time.perf_counter() - start


print(json.dumps({
    "openpyxl": seconds(with_openpyxl, False),
    "openpyxl, write-only": seconds(with_openpyxl, True),
    "XlsxWriter": seconds(with_xlsxwriter, False),
    "XlsxWriter, constant memory": seconds(with_xlsxwriter, True),
}))
