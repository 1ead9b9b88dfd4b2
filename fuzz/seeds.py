"""Makes seeds of a trace: python3 seeds.py FILE NAME, with the packages mcap and zstandard.

Into corpus/records goes a part of its records, into corpus/trace the same as a trace, once packed as
tracer does it and once without packing and checksums, so that a changed byte gets as far as it can.
Names and arguments are made unknown: they are those of some machine.
"""

import json
import struct
import sys
import zlib
from pathlib import Path

from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

ROWS, RECORDS = 15, 250
START, ROW, SNAPSHOT_END, END = 64, 7, 66, 72
NAMES = {1: 48, 7: 48, 2: 32, 11: 32}  # by kind: where the name of 16 bytes is
ARGUMENTS = {2: 56, 67: 40, 73: 32}


def records(batch):
    while batch:
        length = struct.unpack_from("=I", batch, 12)[0]
        yield bytearray(batch[:length])
        batch = batch[length:]


def unknown(record):
    kind = record[8]
    if kind in NAMES:
        name = NAMES[kind]
        record[name : name + 16] = b"name".ljust(16, b"\0")
    if kind in ARGUMENTS:
        begin = ARGUMENTS[kind]
        record[begin:] = b"a" * (len(record) - begin)
    if kind == START:
        start = json.loads(record[16:]) | {"host": "h", "boot_id": "b", "arguments": ["a"], "hooks": ["h"]}
        record[16:] = json.dumps(start, separators=(",", ":")).encode()
        record[12:16] = struct.pack("=I", len(record))
    return bytes(record)


def some(records):
    rows = others = 0
    is_synced = False
    for record in records:
        kind = record[8]
        rows += kind == ROW and not is_synced
        is_synced |= kind == SNAPSHOT_END
        others += is_synced
        if kind == END or (others <= RECORDS and (is_synced or rows <= ROWS or kind == 65)):
            yield unknown(record)


def write(path, records, metadata, is_packed):
    compression = CompressionType.ZSTD if is_packed else CompressionType.NONE
    with open(path, "wb") as file:
        writer = Writer(file, compression=compression, enable_crcs=is_packed, chunk_size=8192)
        writer.start(profile="tracer/1", library="seeds")
        writer.add_metadata("tracer", metadata)
        schema = writer.register_schema("tracer.records", "tracer", b"{}")
        channel = writer.register_channel("/tracer/records", "tracer", schema)
        for number in range(0, len(records), 16):
            batch = records[number : number + 16]
            at = struct.unpack_from("=Q", batch[0])[0]
            writer.add_message(channel, at, b"".join(batch), at, number)
        writer.finish()


def main(file, name):
    with open(file, "rb") as stream:
        batches = [message.data for _, channel, message in make_reader(stream).iter_messages(log_time_order=False) if channel.id == 1]
    parts = list(some(record for batch in batches for record in records(batch)))
    start = parts[0][16:].decode()


    metadata = {"start": start, "start_crc32": str(zlib.crc32(start.encode()))}
    corpus = Path(__file__).parent / "corpus"
    for target in ["records", "trace"]:
        (corpus / target).mkdir(parents=True, exist_ok=True)
    (corpus / "records" / name).write_bytes(b"".join(parts))
    write(corpus / "trace" / f"{name}-packed", parts, metadata, True)
    write(corpus / "trace" / f"{name}-bare", parts, metadata, False)


main(*sys.argv[1:])
