//! `tracer top`, and `tracer replay --tui`: the full screen over a live run or a recording.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    cli,
    commands::play::moment,
    console::style::Screen,
    ident::{file_name, quote, tame},
    source::{live::Live, load::LoadOptions, trace::Trace},
    thresholds::Thresholds,
    top::{
        board::{Ask, Board},
        deck::Deck,
        live,
        screen::{self, Look},
        tape::{Place, Tape},
    },
    trace::kept,
    zone,
};

/// Shows what happens until the reader leaves.
///
/// # Errors
/// If live tracing is not possible here, or there is no terminal.
pub fn run(options: &cli::Top) -> Result<ExitCode> {
    screen::check()?;
    if options.kept {
        return kept_by_another(options);
    }
    // As in a recording, which what is in memory can become.
    let load = LoadOptions { all_signals: true, all_deliveries: true, ..LoadOptions::from(&options.probes) };
    let thresholds = options.thresholds.over(Thresholds::default());
    let live = Live::attach(&load)?;
    let model = move |board: &Arc<Board>, asks: Receiver<Ask>| live::run(live, &load, &thresholds, board, &asks);
    let host = quote(rustix::system::uname().nodename().to_bytes());
    show(host, options.no_mouse, model)
}

/// Shows what the recorder with the longest memory has kept.
fn kept_by_another(options: &cli::Top) -> Result<ExitCode> {
    let answers = kept::ask();
    let refused =
        answers.iter().find_map(|answer| answer.as_ref().err().map(|(pid, error)| format!("pid {pid}: {error}")));
    let kept = answers.into_iter().flatten().filter_map(|kept| Some((kept.recorder, kept.memory?)));
    let longest = kept.max_by_key(|(_, memory)| memory.metadata().map_or(0, |file| file.len()));
    let Some((recorder, memory)) = longest else {
        let why = refused.map_or_else(String::new, |why| format!(" ({})", tame(&why)));
        bail!(
            "no agent and no flight recorder on this machine has anything in memory for you{why}; start `tracer agent`"
        );
    };
    let thresholds = options.thresholds.over(Trace::of(memory.try_clone()?)?.start().thresholds);
    let tape = Tape { thresholds, place: Place::Kept(memory.into()) };
    let model = move |board: &Arc<Board>, asks| Deck::open(tape, None, false, board.clone(), asks)?.run();
    show(format!("recorder {recorder}"), options.no_mouse, model)
}

/// Shows a recording until the reader leaves.
///
/// # Errors
/// If it cannot be read, or there is no terminal.
pub fn recorded(options: &cli::Replay) -> Result<ExitCode> {
    screen::check()?;
    let mut trace = Trace::open(&options.file)?;
    let at = options.part.at.map(|at| moment(at, &mut trace)).transpose()?;
    let thresholds = options.thresholds.over(trace.start().thresholds);
    let tape = Tape { thresholds, place: Place::File(options.file.clone()) };
    let title = options.file.file_name().map_or_else(|| file_name(&options.file), file_name);
    let model = move |board: &Arc<Board>, asks| Deck::open(tape, at, false, board.clone(), asks)?.run();
    show(title, options.no_mouse, model)
}

/// The model in a thread, the screen in this one.
fn show(
    title: String,
    no_mouse: bool,
    model: impl FnOnce(&Arc<Board>, Receiver<Ask>) -> Result<()> + Send,
) -> Result<ExitCode> {
    let look = Look { title, mouse: !no_mouse, colour: Screen::stdout().colour, zone: zone::local() };
    let board = Arc::new(Board::default());
    let (asks, asked) = channel();
    let (shown, modelled) = thread::scope(|scope| {
        let playing = thread::Builder::new().name("model".into()).spawn_scoped(scope, || {
            let _closed = Closed(&board);
            model(&board, asked)
        });
        let playing = playing.context("cannot start a thread")?;
        let shown = screen::run(&board, &asks, &look);
        let modelled = playing.join().unwrap_or_else(|_| Err(anyhow!("the tracing thread panicked")));
        anyhow::Ok((shown, modelled))
    })?;
    modelled?;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// Tells the screen that there will be no more, even after a panic.
struct Closed<'a>(&'a Board);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
