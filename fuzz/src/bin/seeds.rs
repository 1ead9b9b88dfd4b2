//! Makes seeds of a trace: `seeds FILE CORPUS` writes into CORPUS the trace itself, the same without
//! packing, checksums and index (so that a changed byte gets as far as it can), and its records.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result};
use mcap::{
    WriteOptions,
    records::{MessageHeader, Metadata},
    sans_io::{LinearReadEvent, LinearReader},
};
use tracer::trace::reader::{Next, Reader};

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let [file, corpus] = &words[..] else { anyhow::bail!("seeds FILE CORPUS") };
    let (file, corpus) = (Path::new(file), Path::new(corpus));
    let name = file.file_stem().context("a file has a name")?.to_string_lossy().into_owned();
    for target in ["trace", "records"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    fs::copy(file, corpus.join("trace").join(&name))?;

    let mut bare = WriteOptions::new()
        .profile("tracer/1")
        .compression(None)
        .calculate_chunk_crcs(false)
        .create(File::create(corpus.join("trace").join(format!("{name}-bare")))?)?;
    bare.write_metadata(&metadata(&fs::read(file)?)?)?;
    let schema = bare.add_schema("tracer.records", "tracer", b"{}")?;
    for id in [1, 2] {
        bare.add_channel_with_id(id, schema, &format!("/{id}"), "tracer", &BTreeMap::new())?;
    }
    let mut records = Vec::new();
    let mut reader = Reader::open(file)?;
    while let Next::Chunk(messages) = reader.read_on()? {
        for message in &messages {
            let part = reader.part(message);
            let (sequence, at) = (message.sequence, message.at);
            let header = MessageHeader { channel_id: message.channel, sequence, log_time: at, publish_time: at };
            bare.write_to_known_channel(&header, part)?;
            records.extend_from_slice(part);
        }
        bare.flush()?;
    }
    bare.finish()?;
    fs::write(corpus.join("records").join(&name), records)?;
    Ok(())
}

/// The metadata of a trace, as they are.
fn metadata(bytes: &[u8]) -> Result<Metadata> {
    let mut reader = LinearReader::new();
    let mut rest = bytes;
    while let Some(event) = reader.next_event() {
        match event? {
            LinearReadEvent::ReadRequest(most) => {
                let (now, later) = rest.split_at(most.min(rest.len()));
                reader.insert(now.len()).copy_from_slice(now);
                reader.notify_read(now.len());
                rest = later;
            }
            LinearReadEvent::Record { data, opcode } => {
                if let mcap::records::Record::Metadata(metadata) = mcap::parse_record(opcode, data)? {
                    return Ok(metadata);
                }
            }
        }
    }
    anyhow::bail!("there are none")
}
