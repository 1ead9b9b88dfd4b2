#!/usr/bin/env python3
"""Prints a trace of tracer, with nothing of tracer's: only the package `mcap` (pip install mcap), and
the table of records that every trace carries as the schema of its channel.

    read_trace.py FILE            every record, a line each
    read_trace.py FILE --count    how many there are of each kind

docs/trace-format.md describes the format.
"""

import argparse
import collections
import json
import re
import signal
import struct

from mcap.reader import make_reader

# The images of the world on the other channel are for readers that begin in the middle.
RECORDS = "/tracer/records"

CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i"}


class Kind:
    """A kind of record: how its fields are read."""

    def __init__(self, record, byte_order):
        self.name = record["name"]
        self.size = record["size"]
        self.rest = record["rest"]
        self.fields = []
        for field in record["fields"]:
            form, count = re.fullmatch(r"(\w+?)(?:\[(\d+)\])?", field["type"]).groups()
            code = f"{count}s" if form == "char" else f"{count or ''}{CODES[form]}"
            self.fields.append((field["name"], struct.Struct(byte_order + code), field["offset"], form))

    def read(self, record):
        """The fields by their names."""
        values = {}
        for name, layout, offset, form in self.fields:
            # What is beyond the end of the fixed part varies in length, and is read by the `rest`.
            if name == "header.len" or offset + layout.size > self.size:
                continue
            value = layout.unpack_from(record, offset)
            if form == "char":
                value = value[0].split(b"\0", 1)[0].decode(errors="replace")
            elif len(value) == 1:
                value = value[0]
            values[name] = value
        if self.rest:
            values["rest"] = record[self.size :].decode(errors="replace")
        return values


def records(file):
    """Each record with its kind, in the order of the stream."""
    kinds = {}
    for schema, channel, message in make_reader(file).iter_messages(topics=[RECORDS], log_time_order=False):
        if not kinds:
            table = json.loads(schema.data)
            byte_order = "<" if table["byte_order"] == "little" else ">"
            kinds = {record["kind"]: Kind(record, byte_order) for record in table["records"]}
            # at, kind, a zero, cpu, len: the beginning of every record.
            header = struct.Struct(byte_order + "QBBHI")
        offset = 0
        while offset < len(message.data):
            at, kind, _, cpu, length = header.unpack_from(message.data, offset)
            # A later version of the format may have kinds that are new.
            if kind in kinds:
                yield at, cpu, kinds[kind], message.data[offset : offset + length]
            offset += length


def main():
    parser = argparse.ArgumentParser(description="Prints a trace of tracer.")
    parser.add_argument("file")
    parser.add_argument("--count", action="store_true", help="count the records of each kind")
    arguments = parser.parse_args()
    counts = collections.Counter()
    with open(arguments.file, "rb") as file:
        for at, cpu, kind, record in records(file):
            counts[kind.name] += 1
            if not arguments.count:
                # JSON, so that no name can harm the terminal.
                fields = {name: value for name, value in kind.read(record).items() if not name.startswith("header.")}
                print(f"{at / 1e9:.9f} cpu {cpu} {kind.name} {json.dumps(fields)}")
    if arguments.count:
        for name, count in sorted(counts.items()):
            print(name, count)


if __name__ == "__main__":
    # `| head` ends it quietly.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main()
