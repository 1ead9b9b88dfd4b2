//! `tracer record`: live events into a trace file, while a command runs or until it is stopped.
//!
//! The command comes first: whatever goes wrong with the recording does not disturb it, and its exit code is passed on.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::{
    cli,
    console::{stderr::say, style},
    event_loop::{event_loop, sleep},
    filter::Filter,
    ident::file_name,
    sink::{
        gate::Gate,
        trace::{Recorder, Store, flight::Flight, redact::Redactor, rotate::Rotating},
    },
    source::{live::Live, load::LoadOptions},
    thresholds::Thresholds,
    trace::kept::Door,
};

use self::{
    child::{Child, Started},
    recording::Recording,
    signals::Signals,
};

mod child;
mod names;
mod outcome;
mod recording;
mod signals;

pub(super) use outcome::HIT;

/// Records until the command has ended; without one until SIGINT, SIGTERM or SIGHUP, the end of
/// `--duration`, or `--max-size`. The exit code is that of the command, if nothing outranks it.
///
/// # Errors
/// If live tracing is not possible here, the file cannot be created, or a report has its name.
pub fn run(options: &cli::Record) -> Result<ExitCode> {
    let load = LoadOptions {
        all_signals: true,
        all_deliveries: true,
        has_command: !options.command.is_empty(),
        tree: options.filter.tree,
        ..LoadOptions::from(&options.probes)
    };
    let recorder = recorder(options)?;
    names::check(options)?;
    let live = Live::attach(&load)?;
    let gate = Gate::new(Filter::from(&options.filter).within(options.scope), options.fail_on.clone());
    let thresholds = options.thresholds.over(Thresholds::default());
    event_loop()?.block_on(async {
        let signals = Signals::new(load.has_command).context("cannot receive signals")?;
        let mut recording = Recording::start(live, &load, &thresholds, gate, recorder)?;
        let command = drive(options, &signals, &mut recording).await;
        Ok(ExitCode::from(outcome::conclude(options, &recording, command, &signals).await))
    })
}

fn recorder(options: &cli::Record) -> Result<Recorder> {
    let cli::Record { output, overwrite, rotate, keep, snapshot_on, before, redact, scope, filter, .. } = options;
    let store: Box<dyn Store> = match rotate {
        Some(limit) => Box::new(Rotating::new(output, *overwrite, *limit, *keep)?),
        None if !snapshot_on.is_empty() => Box::new(Flight::new(output, *overwrite, *before)?.with_door(door())),
        None => Recorder::single(output, *overwrite)?,
    };
    Ok(Recorder::new(store)
        .narrowed(Filter::from(filter))
        .redacted(Redactor::new(*redact))
        .on(snapshot_on, Filter::from(filter).within(*scope)))
}

/// Through which others can ask a flight recorder. It records without one, too.
fn door() -> Option<Door> {
    Door::open(None).inspect_err(|error| say(format_args!("`tracer why` cannot ask this recorder: {error}"))).ok()
}

/// Drives the recording until the command has ended or it is time to stop. If the recording stops first, waits for the
/// command. Returns the command's exit code, if there is one.
async fn drive(options: &cli::Record, signals: &Signals, recording: &mut Recording) -> Option<u8> {
    let cli::Record { command, duration, max_size, .. } = options;
    if let Some(code) = until_listed(signals, recording).await {
        recording.stop();
        return (!command.is_empty()).then_some(code);
    }
    let mut child = match command.first().map(|program| (program, Child::start(command))) {
        None => None,
        Some((_, Ok(Started::Running(child)))) => {
            recording.expect_command(child.pid(), child::args(command));
            Some(child)
        }
        Some((program, Ok(Started::NotStarted(code, why)))) => {
            say(format_args!("cannot run {}: {why}", file_name(program)));
            recording.stop();
            return Some(code);
        }
        Some((_, Err(error))) => {
            recording.give_up(error);
            return None;
        }
    };
    let end = sleep(*duration);
    tokio::pin!(end);
    loop {
        let goes_on = recording.turn();
        if let Some(most) = *max_size
            && goes_on
            && recording.size() >= most
        {
            say(format_args!("the recording stops: it has {} (--max-size)", style::rough_size(recording.size())));
            recording.stop();
            continue;
        }
        let Some(child) = &mut child else {
            // Without a command there is nothing to wait for but the recording.
            if !goes_on {
                return None;
            }
            tokio::select! {
                biased;
                _ = signals.next() => recording.stop(),
                () = &mut end => recording.stop(),
                () = recording.rest() => {}
            }
            continue;
        };
        tokio::select! {
            biased;
            came = signals.next() => if recording.catch_up().is_none_or(|world| came.is_for_command(world)) {
                child.signal(came.signal);
            },
            () = child.ended() => return recording.command_ends(child).await.map(child::exit_code),
            () = &mut end, if goes_on => {
                say("the recording stops: its time is over (--duration); the command goes on");
                recording.stop();
            }
            () = recording.rest() => {}
        }
    }
}

/// Waits until the existing processes are listed, so that the command starts in a known world. Returns an exit code, as
/// a shell would, if a signal asks to end before that.
async fn until_listed(signals: &Signals, recording: &mut Recording) -> Option<u8> {
    while recording.is_listing() {
        if !recording.turn() {
            return None;
        }
        tokio::select! {
            biased;
            came = signals.next() => return Some(128u8.saturating_add(u8::try_from(came.signal).unwrap_or(0))),
            () = recording.rest() => {}
        }
    }
    None
}
