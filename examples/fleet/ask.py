#!/usr/bin/env python3
"""Asks a lake the questions of the folder `sql` on Spark, here or on a cluster.

    spark-submit --master spark://HOST:7077 examples/fleet/ask.py LAKE [QUESTION ...] [--since DAY] [--until DAY]

An answer is printed as soon as it is there: a line of JSON for each row, with the question's name. Partitions of other
days are not read.
"""

import argparse
import datetime
import decimal
import json
import pathlib
import re
import sys

from pyspark.sql import SparkSession

QUESTIONS = pathlib.Path(__file__).resolve().parents[2] / "sql"
TABLES = ["hosts", "findings", "stops", "signals", "processes", "losses"]


def views(spark, lake, since, until):
    """Makes a view of each table that has files of those days."""
    for table in TABLES:
        root = pathlib.Path(lake) / f"table={table}"
        days = [day for day in root.glob("day=*") if since <= day.name.removeprefix("day=") <= until]
        days = [str(day) for day in sorted(days) if any(day.glob("bucket=*/*.parquet"))]
        if days:
            # Files of an older version lack columns of a later one.
            read = spark.read.option("basePath", str(root)).option("mergeSchema", "true")
            read.parquet(*days).createOrReplaceTempView(table)


def plain(value):
    """As JSON has it."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lake", metavar="LAKE")
    parser.add_argument("questions", metavar="QUESTION", nargs="*", help="names of files in sql/ [default: all]")
    parser.add_argument("--since", metavar="DAY", default="0000-00-00", help="such as 2026-11-30, UTC")
    parser.add_argument("--until", metavar="DAY", default="9999-99-99")
    options = parser.parse_args()
    questions = options.questions or sorted(file.stem for file in QUESTIONS.glob("*.sql"))
    unknown = [name for name in questions if not (QUESTIONS / f"{name}.sql").is_file()]
    if unknown:
        parser.error(f"there is no question {', '.join(unknown)}; sql/ has those that there are")

    spark = SparkSession.builder.appName("tracer").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    views(spark, options.lake, options.since, options.until)
    for name in questions:
        sql = (QUESTIONS / f"{name}.sql").read_text()
        asked = set(re.findall(r"\b(?:FROM|JOIN) (\w+)", sql)) & set(TABLES)
        if not all(spark.catalog.tableExists(table) for table in asked):
            print(f"{name}: the lake has no such rows on these days", file=sys.stderr)
            continue
        for row in spark.sql(sql).collect():
            row = {column: plain(value) for column, value in row.asDict().items()}
            print(json.dumps({"question": name, **row}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
