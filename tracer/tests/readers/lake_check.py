"""Reads a lake of `tracer export --to lake` with DuckDB, by the view of docs/lake.md, holds it to pyarrow and to what that
page says, asks every question of the folder `sql`, and prints what comes out.

    lake_check.py PAGE SQL          in the folder that holds `lake/`
"""

import pathlib
import re
import sys

import duckdb
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

TABLES = ["hosts", "findings", "stops", "signals", "processes", "losses"]
PARTITIONS = {"table", "day", "bucket"}


def main(page, questions):
    text = pathlib.Path(page).read_text(encoding="utf-8")
    (view,) = re.findall(r"^```sql\n(.*?);\n```", text, re.DOTALL | re.MULTILINE)
    for table in TABLES:
        if not list(pathlib.Path("lake").glob(f"table={table}/*/*/*.parquet")):
            print(f"{table}: no files")
            continue
        duckdb.sql(view.replace("stops", table))
        columns = [column for column in duckdb.table(table).columns if column not in PARTITIONS]
        documented(text, table, columns)
        compare(table, columns)
    for question in sorted(pathlib.Path(questions).glob("*.sql")):
        sql = question.read_text(encoding="utf-8")
        (asked,) = re.findall(r"^-- (.*)$", sql, re.MULTILINE)
        assert question.name in text, question
        result = duckdb.sql(sql)
        print(f"\n{question.name}: {asked}\n  " + " | ".join(result.columns))
        for row in result.fetchall():
            print("  " + " | ".join(map(str, row)))
    versions(view.replace("stops", "findings"))


def documented(text, table, columns):
    """The page names each column of the table, and no other."""
    part = text.split(f"\n**{table}**", 1)[1].split("\n**", 1)[0].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
    named = [column for cell in cells for column in re.findall(r"`(\w+)`", cell)]
    of_all = [] if table == "hosts" else ["host", "boot_id"]
    assert sorted(named + of_all) == sorted(columns), (table, set(named + of_all) ^ set(columns))


def compare(table, columns):
    """Both libraries read the same, and times are what the numbers beside them say."""
    dataset = pyarrow.dataset.dataset(f"lake/table={table}", partitioning="hive", exclude_invalid_files=False)
    arrow = dataset.to_table(columns)
    assert arrow.schema.field("time").type == pyarrow.timestamp("us", tz="UTC"), table
    for column in columns:
        asked = f"epoch_us({column})" if column == "time" else column
        theirs = [row[0] for row in duckdb.sql(f"SELECT {asked} FROM {table}").fetchall()]
        ours = arrow[column].cast(pyarrow.int64()) if column == "time" else arrow[column]
        key = lambda value: (value is None, value)
        assert sorted(theirs, key=key) == sorted(ours.to_pylist(), key=key), (table, column)
    wrong = "epoch_us(time) != time_ns // 1000 OR CAST(day AS DATE) != CAST(time AT TIME ZONE 'UTC' AS DATE)"
    assert duckdb.sql(f"SELECT count(*) FROM {table} WHERE {wrong}").fetchall() == [(0,)], table
    print(f"{table}: {arrow.num_rows} rows, " + " ".join(f"{name}:{arrow.schema.field(name).type}" for name in columns))


def versions(view):
    """Files that have a column more or less, as those of other versions, are read together with the others."""
    counts = lambda columns: duckdb.sql(f"SELECT {columns} FROM findings").fetchall()[0]
    rows, fixes = counts("count(*), count(fix)")
    one = min(pathlib.Path("lake").glob("table=findings/*/*/*.parquet"))
    some = pyarrow.parquet.read_table(one, partitioning=None)
    pyarrow.parquet.write_table(some.drop_columns(["fix"]), one.with_name("earlier.parquet"))
    more = some.append_column("later", pyarrow.array([1] * some.num_rows))
    pyarrow.parquet.write_table(more, one.with_name("later.parquet"))
    duckdb.sql(view.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))
    added = some.num_rows
    fixes += added - some["fix"].null_count
    assert added > 0 and counts("count(*), count(fix), sum(later)") == (rows + 2 * added, fixes, added)


main(*sys.argv[1:])
