"""Reads the tables of `tracer export --to parquet` with every library that docs/export.md names, runs what is
on that page, and prints what comes out.

    parquet_check.py PAGE          in the folder that holds `run/`
"""

import re
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.parquet

TABLES = ["processes", "signals", "events", "findings"]


def main(page):
    for table in TABLES:
        compare(table)
    with open(page, encoding="utf-8") as file:
        blocks = re.findall(r"^```(sql|python)\n(.*?)^```", file.read(), re.DOTALL | re.MULTILINE)
    for language, code in blocks:
        if language == "sql":
            result = duckdb.sql(code)
            print("\n-- " + " | ".join(result.columns))
            for row in result.fetchall():
                print("   " + " | ".join(map(str, row)))
        else:
            print(f"\n# {code.splitlines()[0]}")
            exec(code, {})


def compare(table):
    """Holds the libraries to one another."""
    path = f"run/{table}.parquet"
    rows = duckdb.sql(f"SELECT * FROM '{path}'")
    arrow = pyarrow.parquet.read_table(path)
    pandas_frame = pandas.read_parquet(path)
    polars_frame = polars.read_parquet(path)
    assert rows.columns == arrow.column_names == list(pandas_frame.columns) == polars_frame.columns

    for column in arrow.column_names:
        values = arrow[column].to_pylist() if not is_time(arrow, column) else None
        if values is not None:
            assert polars_frame[column].to_list() == values, column
            assert [row[0] for row in duckdb.sql(f"SELECT {column} FROM '{path}'").fetchall()] == values, column
            known = [None if pandas.isna(value) else value for value in pandas_frame[column]]
            assert known == values, column
        else:
            assert arrow.schema.field(column).type == pyarrow.timestamp("ns", tz="UTC"), column
            assert polars_frame[column].dtype == polars.Datetime("ns", "UTC"), column
            assert str(pandas_frame[column].dtype) == "datetime64[ns, UTC]", column
            nanoseconds = arrow[column].cast(pyarrow.int64()).to_pylist()
            assert polars_frame[column].to_physical().to_list() == nanoseconds, column
            assert [row[0] for row in duckdb.sql(f"SELECT epoch_ns({column}) FROM '{path}'").fetchall()] == nanoseconds
    kinds = " ".join(f"{name}:{field.type}" for name, field in zip(arrow.column_names, arrow.schema))
    print(f"{table}: {arrow.num_rows} rows, {kinds}")


def is_time(table, column):
    return pyarrow.types.is_timestamp(table.schema.field(column).type)


main(*sys.argv[1:])
