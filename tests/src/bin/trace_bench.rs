//! What reading a trace costs, inside of one process. For `cargo xtask bench trace`.
//!
//! `trace_bench grow FROM TO BYTES` makes a large trace of a small one: its records again and again, at
//! later times, of later processes. `trace_bench play FILE` plays one through world and rules, says how
//! many records there were and the processor time in nanoseconds. `trace_bench seek FILE` asks for the
//! world at nine moments, and says how many nanoseconds each took.

use std::{collections::BTreeMap, env, ops::ControlFlow, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use tracer::{
    detector::Detector,
    event::EventKind,
    sink::{Sink, trace::Recorder},
    source::{decode::decode, live, trace::Trace},
    thresholds::Thresholds,
    time::{BootNs, Span},
    trace::layout,
};

fn main() -> Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["grow", from, to, bytes] => grow(Path::new(from), Path::new(to), bytes.parse()?),
        ["play", file] => play(Path::new(file)),
        ["seek", file] => seek(Path::new(file)),
        _ => bail!("say what: grow FROM TO BYTES, play FILE, or seek FILE"),
    }
}

fn play(file: &Path) -> Result<()> {
    let mut trace = Trace::open(file)?;
    let mut detector = Detector::new(&trace.start().thresholds);
    let before = live::cpu_time();
    let (mut records, mut findings) = (0_u64, 0);
    trace.play(|event, record| {
        let (step, _) = detector.step(event, record);
        records += 1;
        findings += step.findings.len();
        Ok(ControlFlow::Continue(()))
    })?;
    println!("{records} {} ({findings} findings)", live::cpu_time() - before);
    Ok(())
}

fn seek(file: &Path) -> Result<()> {
    for tenth in 1..10 {
        let began = Instant::now();
        let mut trace = Trace::open(file)?;
        let (first, last) = trace.span()?.context("an empty trace")?;
        let at = first + (last - first) / 10 * tenth;
        trace.seek(at)?;
        let mut detector = Detector::new(&Thresholds::default());
        trace.play(|event, record| {
            if event.at > at {
                return Ok(ControlFlow::Break(()));
            }
            detector.step(event, record);
            Ok(ControlFlow::Continue(()))
        })?;
        println!("{} ({} processes)", began.elapsed().as_nanos(), detector.world().process_count());
    }
    Ok(())
}

fn grow(from: &Path, to: &Path, bytes: u64) -> Result<()> {
    let mut head = Vec::new();
    let mut body: Vec<Vec<u8>> = Vec::new();
    let mut trace = Trace::open(from)?;
    let mut is_synced = false;
    trace.play(|event, record| {
        match event.kind {
            EventKind::End(_) => {}
            _ if is_synced => body.push(record.to_vec()),
            _ => head.push(record.to_vec()),
        }
        is_synced |= event.kind == EventKind::SnapshotEnd;
        Ok(ControlFlow::Continue(()))
    })?;
    let time = |record: Option<&Vec<u8>>| Some(decode(record?).ok()?.at);
    let (Some(began), Some(ended)) = (time(body.first()), time(body.last())) else { bail!("nothing happens in it") };
    let mut recorder = Recorder::new(Recorder::single(to, false)?);
    let mut detector = Detector::new(&Thresholds::default());
    let mut record_one = |record: &[u8]| -> Result<()> {
        let Ok(event) = decode(record) else { return Ok(()) };
        let (step, world) = detector.step(&event, record);
        Ok(recorder.step(world, &step)?)
    };
    for record in &head {
        record_one(record)?;
    }
    let starts = starts();
    let mut shifted = Vec::new();
    for round in 0.. {
        if to.metadata()?.len() >= bytes {
            break;
        }
        let by = round * (ended.next() - began);
        for record in &body {
            shifted.clone_from(record);
            shift(&mut shifted, 0, began, by);
            // Whoever was there at the beginning stays the same.
            for &offset in starts.get(&record[8]).into_iter().flatten() {
                shift(&mut shifted, offset, began, by);
            }
            record_one(&shifted)?;
        }
    }
    recorder.finish(detector.world(), &Default::default())?;
    Ok(())
}

/// Where the start times of processes are, by kind of record.
fn starts() -> BTreeMap<u8, Vec<usize>> {
    let table = layout::table();
    let fields = |record: &serde_json::Value| -> Vec<usize> {
        let fields = record["fields"].as_array().into_iter().flatten();
        let starts = fields.filter(|field| field["name"].as_str().is_some_and(|name| name.ends_with(".start")));
        starts.filter_map(|field| Some(field["offset"].as_u64()? as usize)).collect()
    };
    let records = table["records"].as_array().into_iter().flatten();
    records.filter_map(|record| Some((record["kind"].as_u64()? as u8, fields(record)))).collect()
}

/// Adds to a time that is not before `since`.
fn shift(record: &mut [u8], offset: usize, since: BootNs, by: Span) {
    let Some(place) = record.get_mut(offset..offset + 8) else { return };
    let time = BootNs(place.try_into().map_or(0, u64::from_ne_bytes));
    if time >= since {
        place.copy_from_slice(&(time + by).0.to_ne_bytes());
    }
}
