//! Runs `tracer` as a library beside the stage, and compares what both say.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracer::{
    change::{Change, Signalled},
    event::{EventKind, Loss},
    pump::Pump,
    signal::{KernelSender, Sender},
    source::{live::Live, load::LoadOptions},
    step::Step,
    thresholds::Thresholds,
    time::BootNs,
};

use tracer_common::RecordKind;

use super::{
    case::{Case, Seen, Sender as Who, Way},
    known,
    oracle::{self, Fate},
    plan::Scope,
    stage, sys,
    table::Table,
};

/// How long nothing may come from the stage: it is stuck then.
const SILENCE: Duration = Duration::from_secs(120);
/// The processor time of the other half of the machine is the stage's.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 3_000_000 };
const RING: u32 = 64 << 20;

/// How it came out.
#[derive(Debug, Default)]
pub struct Report {
    /// How many cases were staged.
    pub cases: usize,
    /// In how many `tracer` and the target agree.
    pub agreements: usize,
    /// How many lie beyond what can be known, by their heading in the document.
    pub limits: std::collections::BTreeMap<&'static str, usize>,
    /// All that is known of the others.
    pub disagreements: Vec<(Case, String)>,
    /// The combinations.
    pub table: Table,
}

/// What `tracer` said of one signal.
#[derive(Clone, Debug)]
struct Said {
    at: BootNs,
    signal: u8,
    verdict: &'static str,
    /// `None` when it was taken, not sent.
    sender: Option<Sender>,
}

/// What was said of each process, by pid.
#[derive(Debug, Default)]
struct Heard {
    by_pid: HashMap<u32, Vec<Said>>,
    lost: Loss,
}

impl Heard {
    fn step(&mut self, step: &Step<'_>) {
        if let EventKind::Lost(loss) = &step.event.kind {
            self.lost.add(loss);
        }
        for change in step.changes {
            let (signalled, is_sent): (&Signalled, _) = match change {
                Change::Signalled(signalled) => (signalled, true),
                Change::Taken(signalled) => (signalled, false),
                _ => continue,
            };
            self.by_pid.entry(signalled.target.key.tgid).or_default().push(Said {
                at: step.event.at,
                signal: signalled.signal.0,
                verdict: signalled.verdict.id(),
                sender: is_sent.then_some(signalled.sender),
            });
        }
    }

    /// Records about signals that were lost. Programs that the kernel skipped are not among them:
    /// those on signals run with interrupts off, so that nothing can come between.
    fn lost_signals(&self) -> u64 {
        let Loss { ring, undecodable, missed: _, unreadable: _ } = self.lost;
        ring[RecordKind::Signal as usize] + ring[RecordKind::Deliver as usize] + undecodable
    }

    /// What was said within the time of a case about its signal: of sendings, and of takings.
    fn about(&self, seen: &Seen) -> (Vec<&Said>, Vec<&Said>) {
        let said = self.by_pid.get(&(seen.pid as u32)).map(Vec::as_slice).unwrap_or_default();
        said.iter()
            .filter(|said| i32::from(said.signal) == seen.case.signal)
            .filter(|said| (seen.opened..=seen.closed).contains(&said.at))
            // An init that ends kills everybody in its namespace, its own dead main thread too.
            .filter(|said| {
                let is_end = matches!(said.sender, Some(Sender::Kernel(KernelSender::NamespaceEnd)));
                !is_end || seen.case.way == Way::NamespaceEnd
            })
            .partition(|said| said.sender.is_some())
    }
}

/// Stages everything and judges it. `progress` hears how many cases there were so far.
///
/// # Errors
/// If nothing can be traced here, if records were lost, or if the stage failed.
pub fn run(scope: Scope, mut progress: impl FnMut(usize)) -> Result<Report> {
    // Before anything else is in this process's memory, so that its forks are cheap.
    let (go_from, go_to) = nix::unistd::pipe()?;
    let (from, to) = nix::unistd::pipe()?;
    let stage = sys::fork(0);
    if stage == 0 {
        drop((go_to, from));
        let mut go = [0];
        if File::from(go_from).read_exact(&mut go).is_ok() {
            stage::run(scope, to.into());
        }
        sys::exit(0);
    }
    let stage = Child(stage);
    drop((go_from, to));

    let options = LoadOptions { ring_size: RING, all_signals: true, all_deliveries: true, ..LoadOptions::default() };
    let live = Live::attach(&options)?;
    let mut heard = Heard::default();
    let mut pump = Pump::start(live, &options, &Thresholds::default(), &mut |_, step| {
        heard.step(step);
        Ok(())
    })?;
    File::from(go_to).write_all(b"!").context("the stage is gone")?;

    let mut seen = Vec::new();
    let mut lines = Lines { from: from.into(), rest: Vec::new() };
    let mut last = Instant::now();
    loop {
        pump.turn(&mut |_, step| {
            heard.step(step);
            Ok(())
        })?;
        match lines.take(&mut seen)? {
            Some(0) => ensure!(last.elapsed() < SILENCE, "the stage is stuck after {:?}", seen.last()),
            Some(_) => last = Instant::now(),
            None => break,
        }
        progress(seen.len());
    }
    let end = sys::wait(stage.0, libc::WEXITED).context("the stage is nobody's child")?;
    ensure!(end.code == libc::CLD_EXITED && end.status == 0, "the stage failed after {:?}", seen.last());
    // All that it caused is in the ring buffer.
    while pump.turn(&mut |_, step| {
        heard.step(step);
        Ok(())
    })? > 0
    {}
    ensure!(heard.lost_signals() == 0, "this machine is too busy for a verdict: {:?}", heard.lost);
    compare(&seen, &heard)
}

/// Ends the stage, whatever happens; its processes end with it.
struct Child(i32);

impl Drop for Child {
    fn drop(&mut self) {
        // Not reaped yet, so the pid is still its own.
        if sys::wait(self.0, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT).is_none() {
            sys::kill(self.0, libc::SIGKILL);
        }
        sys::wait(self.0, libc::WEXITED | libc::WNOHANG);
    }
}

/// Observations as they come.
struct Lines {
    from: File,
    rest: Vec<u8>,
}

impl Lines {
    /// Waits a little; how many there were, `None` at the end.
    fn take(&mut self, seen: &mut Vec<Seen>) -> Result<Option<usize>> {
        let from = self.from.as_fd();
        if poll(&mut [PollFd::from_borrowed_fd(from, PollFlags::IN)], Some(&PAUSE))? == 0 {
            return Ok(Some(0));
        }
        let mut chunk = [0; 65_536];
        let read = self.from.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        self.rest.extend(&chunk[..read]);
        let before = seen.len();
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            seen.push(serde_json::from_slice(&line).context("a broken observation")?);
        }
        Ok(Some(seen.len() - before))
    }
}

fn compare(seen: &[Seen], heard: &Heard) -> Result<Report> {
    let mut report = Report::default();
    for seen in seen {
        report.cases += 1;
        let (sent, taken) = heard.about(seen);
        let said = Fate {
            sent: sent.iter().map(|said| Some(said.verdict)).collect(),
            taken: taken.iter().map(|said| said.verdict).collect(),
            may_be_untaken: false,
        };
        let known = known::limit(seen);
        let truth = oracle::fate(seen);
        let expected = known.as_ref().map_or(&truth, |known| &known.fate);
        report.table.add(seen.case, &said);
        let why = disagreement(seen, expected, &said, &sent);
        match (why, &known) {
            (None, None) => report.agreements += 1,
            (None, Some(known)) => *report.limits.entry(known.heading).or_default() += 1,
            (Some(why), _) => {
                report.disagreements.push((seen.case, describe(&why, expected, &sent, &taken, seen)));
            }
        }
    }
    Ok(report)
}

/// Why what was said is not what must be said; `None` if it is.
fn disagreement(seen: &Seen, expected: &Fate, said: &Fate, sent: &[&Said]) -> Option<String> {
    let wanted: Vec<_> = expected.sent.iter().filter(|sent| sent.is_some()).copied().collect();
    if said.sent != wanted {
        return Some("another verdict of the sending".to_owned());
    }
    let is_untaken = expected.may_be_untaken && said.taken.is_empty();
    if said.taken != expected.taken && !is_untaken {
        return Some("another verdict of the taking".to_owned());
    }
    let senders = seen.sendings.iter().zip(&expected.sent).filter(|(_, sent)| sent.is_some());
    for ((sending, _), said) in senders.zip(sent) {
        let is_right = match (sending.sender, said.sender) {
            (Who::Somebody, _) => true,
            (Who::Process(pid), Some(Sender::Process(identity))) => identity.key.tgid == pid as u32,
            (Who::Kernel, Some(Sender::Kernel(_))) => true,
            _ => false,
        };
        if !is_right {
            return Some(format!("another sender than {:?}", sending.sender));
        }
    }
    None
}

fn describe(why: &str, expected: &Fate, sent: &[&Said], taken: &[&Said], seen: &Seen) -> String {
    format!("{why}\n  must be  {expected:?}\n  sent     {sent:?}\n  taken    {taken:?}\n  observed {seen:?}")
}
