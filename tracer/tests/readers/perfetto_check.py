"""Reads a Perfetto file with Perfetto's own definitions, holds it to what its trace processor expects,
and prints what is in it.

    perfetto_check.py FILE
"""

import collections
import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import BUILTIN_CLOCK_BOOTTIME, Trace, TrackEvent


def main(path):
    trace = Trace()
    with open(path, "rb") as file:
        trace.ParseFromString(file.read())
    packets = trace.packet
    # A field that the definitions do not have would be kept without a word.
    assert trace.SerializeToString(deterministic=True) == known(trace), "there are fields that Perfetto does not know"

    assert packets[0].clock_snapshot.primary_trace_clock == BUILTIN_CLOCK_BOOTTIME
    assert all(packet.trusted_packet_sequence_id for packet in packets)

    tracks = {}
    for packet in packets:
        if packet.HasField("track_descriptor"):
            descriptor = packet.track_descriptor
            known_as = tracks.setdefault(descriptor.uuid, descriptor)
            assert known_as.parent_uuid == descriptor.parent_uuid, "a track has one parent"
        elif packet.HasField("track_event"):
            assert packet.track_event.track_uuid in tracks, "a track is described before it is used"
    for descriptor in tracks.values():
        assert not descriptor.parent_uuid or descriptor.parent_uuid in tracks

    # The trace processor sorts by time, and leaves what has the same time as it is.
    events = sorted((p for p in packets if p.HasField("track_event")), key=lambda packet: packet.timestamp)
    open_slices = collections.defaultdict(list)
    slices = collections.Counter()
    flows = collections.defaultdict(list)
    findings = collections.Counter()
    for packet in events:
        event = packet.track_event
        track = tracks[event.track_uuid]
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            assert not open_slices[track.uuid], f"{event.name} begins inside of another slice on {track.name}"
            open_slices[track.uuid].append(event.name)
            slices[event.categories[0]] += 1
        elif event.type == TrackEvent.TYPE_SLICE_END:
            assert open_slices[track.uuid], f"nothing to end on {track.name}"
            open_slices[track.uuid].pop()
        elif event.categories[0] == "finding":
            texts = {note.name: note.string_value for note in event.debug_annotations}
            # What is over needs no fix.
            assert texts["message"] and bool(texts["fix"]) == (texts["stage"] != "resolved"), texts
            findings[event.name] += 1
        for flow in event.flow_ids:
            flows[flow].append((event.name, track.name, False))
        for flow in event.terminating_flow_ids:
            flows[flow].append((event.name, track.name, True))
    assert not any(open_slices.values()), "every slice ends"

    arrows = collections.Counter()
    for flow in flows.values():
        (sent, sender, is_end), *rest = flow
        assert sent.startswith("sends SIG") and not is_end, flow
        assert rest and all(receiver != sender for _, receiver, _ in rest), flow
        assert [is_end for *_, is_end in rest][:-1] == [False] * (len(rest) - 1), flow
        arrows[f"{sent} -> {rest[-1][0]}"] += 1

    for uuid, descriptor in tracks.items():
        if not descriptor.parent_uuid:
            members = sum(other.parent_uuid == uuid for other in tracks.values())
            print(f"group: {descriptor.name}: {members} tracks")
    for what, counts in (("slices", slices), ("arrows", arrows), ("findings", findings)):
        for name, count in sorted(counts.items()):
            print(f"{what}: {name}: {count}")


def known(message):
    """The message without fields that its definition does not have."""
    copy = type(message)()
    copy.CopyFrom(message)
    copy.DiscardUnknownFields()
    return copy.SerializeToString(deterministic=True)


main(*sys.argv[1:])
