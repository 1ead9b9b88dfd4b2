//! The courier: this program again, as a process of its own and an ordinary user. It sends findings and numbers to a
//! receiver of OTLP.
//!
//! It takes whatever the agent hands over at once. What waits for a receiver that is slow or away is bounded: of records
//! the newest are dropped, because the first say what began; of numbers only the last are worth sending.

use std::{
    cell::RefCell,
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net,
    },
    process::{Command, Stdio},
    time::Duration,
};

use clap::ValueEnum as _;
use nix::sys::signal::SigSet;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use rustix::net::{SendFlags, send};
use tokio::{
    io::AsyncReadExt as _,
    join,
    net::UnixStream,
    sync::Notify,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    confine::become_ordinary,
    parcel::{Account, LONGEST, Parcel},
};
use crate::{
    cli::agent::{Courier, Otlp},
    console::stderr::say,
    event_loop::event_loop,
    metrics::delivery::Outcome,
};

mod queue;
mod receiver;

use queue::Queue;
use receiver::{Receiver, Verdict};

/// The command of this program that is the courier; not for people.
pub const COURIER: &str = "agent-courier";
/// How long records wait for others to go with them.
const GATHER: Duration = Duration::from_millis(200);
/// How long the last ones may take once the agent has ended.
const LAST: Duration = Duration::from_secs(5);
/// How long the receiver is left alone after it has failed: at first, and at the most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Starts one with the rights that this process has; `None` if nothing is to be sent.
///
/// # Errors
/// If it cannot be started.
pub fn start(options: &Otlp) -> io::Result<Option<net::UnixStream>> {
    let Otlp { otlp, otlp_protocol, otlp_interval: _, otlp_attributes, otlp_user } = options;
    let Some(receiver) = otlp else { return Ok(None) };
    let (ours, theirs) = net::UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(COURIER).arg("--user").arg(otlp_user).arg("--to").arg(receiver.to_string());
    let protocol = otlp_protocol.to_possible_value();
    command.args(protocol.iter().flat_map(|protocol| ["--protocol", protocol.get_name()]));
    command.args(otlp_attributes.iter().map(|(name, value)| format!("--attribute={name}={value}")));
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).env_clear().spawn()?;
    Ok(Some(ours))
}

/// Is the courier, until the agent has ended and what it has handed over is sent.
///
/// # Errors
/// If no agent has started this, or there is no such user.
pub fn serve(options: &Courier) -> anyhow::Result<()> {
    // The agent's last findings are still to be sent.
    SigSet::all().thread_block()?;
    become_ordinary(&options.user)?;
    let agent = net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let back = agent.try_clone()?;
    agent.set_nonblocking(true)?;
    event_loop()?.block_on(async {
        let desk = Desk::new(back);
        let receiver = Receiver::new(options)?;
        let mut agent = UnixStream::from_std(agent)?;
        let (taken, (), ()) = join!(desk.take(&mut agent), desk.send_records(&receiver), desk.send_numbers(&receiver));
        Ok(taken?)
    })
}

/// Where what is to be sent waits.
struct Desk {
    state: RefCell<State>,
    /// There are more records, or the agent has ended.
    more_records: Notify,
    /// There are newer numbers, or the agent has ended.
    more_numbers: Notify,
    back: net::UnixStream,
}

#[derive(Default)]
struct State {
    records: Queue,
    /// Those of this moment that have come so far.
    coming: Vec<Metric>,
    /// All of the last moment.
    metrics: Option<Vec<Metric>>,
    account: Account,
    /// When everything must have been sent, once the agent has ended.
    until: Option<Instant>,
}

impl Desk {
    fn new(back: net::UnixStream) -> Self {
        Self { state: RefCell::default(), more_records: Notify::new(), more_numbers: Notify::new(), back }
    }

    /// Takes everything, until the agent has ended.
    async fn take(&self, agent: &mut UnixStream) -> io::Result<()> {
        let taken = self.take_all(agent).await;
        self.state.borrow_mut().until = Some(Instant::now() + LAST);
        self.more_records.notify_one();
        self.more_numbers.notify_one();
        taken
    }

    async fn take_all(&self, agent: &mut UnixStream) -> io::Result<()> {
        let nonsense = || io::Error::other("this is for `tracer agent` to start");
        loop {
            let length = match agent.read_u32_le().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                length => length?,
            };
            if length > LONGEST {
                return Err(nonsense());
            }
            let mut message = vec![0; length as usize];
            agent.read_exact(&mut message).await?;
            self.put(Parcel::decode(&message).ok_or_else(nonsense)?, message.len());
        }
    }

    fn put(&self, parcel: Parcel, length: usize) {
        let mut state = self.state.borrow_mut();
        match parcel {
            Parcel::Record(record) => {
                let has_room = state.records.put(record, length);
                drop(state);
                if has_room {
                    self.more_records.notify_one();
                } else {
                    self.count(Outcome::RecordDropped, 1);
                }
            }
            Parcel::Metric(metric) => state.coming.push(metric),
            Parcel::AllMetrics => {
                let all = std::mem::take(&mut state.coming);
                let late = state.metrics.replace(all);
                drop(state);
                if late.is_some() {
                    self.count(Outcome::NumbersDropped, 1);
                }
                self.more_numbers.notify_one();
            }
        }
    }

    /// Counts, and tells the agent, if it has room for that; else the next time.
    fn count(&self, outcome: Outcome, count: u64) {
        let mut state = self.state.borrow_mut();
        state.account.add(outcome, count);
        if send(&self.back, &state.account.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok() {
            state.account = Account::default();
        }
    }

    fn until(&self) -> Option<Instant> {
        self.state.borrow().until
    }

    /// Sends records, in their order, until the agent has ended and there are no more.
    async fn send_records(&self, receiver: &Receiver) {
        let mut trouble = Trouble::with("findings");
        loop {
            let batch = self.state.borrow_mut().records.take();
            if batch.is_empty() {
                if self.until().is_some() {
                    return;
                }
                self.more_records.notified().await;
                sleep(GATHER).await;
                continue;
            }
            let count = batch.len() as u64;
            loop {
                let sent = self.within(receiver.records(batch.clone())).await;
                match trouble.told(sent) {
                    Told::Taken(rejected) => {
                        self.count(Outcome::RecordDelivered, count - rejected.min(count));
                        if rejected > 0 {
                            self.count(Outcome::RecordDropped, rejected.min(count));
                        }
                        break;
                    }
                    Told::Again(pause) if self.may_wait(pause).await => {}
                    Told::Again(_) | Told::Never => {
                        self.count(Outcome::RecordDropped, count);
                        break;
                    }
                }
            }
        }
    }

    /// Sends numbers, each moment's once.
    async fn send_numbers(&self, receiver: &Receiver) {
        let mut trouble = Trouble::with("numbers");
        loop {
            let Some(metrics) = self.state.borrow_mut().metrics.take() else {
                if self.until().is_some() {
                    return;
                }
                self.more_numbers.notified().await;
                continue;
            };
            let sent = self.within(receiver.metrics(metrics)).await;
            let outcome = match trouble.told(sent) {
                Told::Taken(_) => Outcome::NumbersDelivered,
                Told::Again(_) | Told::Never => Outcome::NumbersDropped,
            };
            self.count(outcome, 1);
        }
    }

    /// No longer than there is time after the end of the agent.
    async fn within(&self, sending: impl Future<Output = Verdict>) -> Verdict {
        let Some(until) = self.until() else { return sending.await };
        timeout_at(until, sending).await.unwrap_or_else(|_| Verdict::Later(None, "no answer in time".to_owned()))
    }

    /// Waits, if the agent has not ended or there is time left; whether it has waited.
    async fn may_wait(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            if self.until().is_some_and(|until| until < end) {
                return false;
            }
            tokio::select! {
                () = sleep_until(end) => return true,
                // The agent has ended, or there is more to send.
                () = self.more_records.notified() => {}
            }
        }
    }
}

/// How it stands with the receiver.
#[derive(Debug)]
struct Trouble {
    /// What is sent to it.
    what: &'static str,
    /// How often it has failed in a row.
    failures: u32,
    /// What was said about it last; empty if all is well.
    said: String,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// Nothing: it is there, but for so many.
    Taken(u64),
    /// Try again after that time.
    Again(Duration),
    /// Give it up.
    Never,
}

impl Trouble {
    fn with(what: &'static str) -> Self {
        Self { what, failures: 0, said: String::new() }
    }

    fn told(&mut self, verdict: Verdict) -> Told {
        let what = self.what;
        match verdict {
            Verdict::Taken { rejected, why } => {
                self.failures = 0;
                self.says(if why.is_empty() { why } else { format!("the OTLP receiver says of {what}: {why}") });
                Told::Taken(rejected)
            }
            Verdict::Later(after, why) => {
                self.says(format!("the OTLP receiver does not take {what}, and is tried again: {why}"));
                let (first, most) = PAUSE;
                let pause = first.saturating_mul(1 << self.failures.min(10)).min(most);
                self.failures = self.failures.saturating_add(1);
                // Not all agents of many at once.
                let pause = pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
                Told::Again(after.unwrap_or(pause).min(most))
            }
            Verdict::Refused(why) => {
                self.says(format!("the OTLP receiver refuses {what}: {why}"));
                Told::Never
            }
        }
    }

    /// Tells a person, but nothing twice in a row.
    fn says(&mut self, what: String) {
        if what == self.said {
            return;
        }
        match &*what {
            "" => say(format_args!("the OTLP receiver takes {} again", self.what)),
            what => say(what),
        }
        self.said = what;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_fails_is_left_alone_for_longer_and_longer() {
        let mut trouble = Trouble::with("findings");
        let mut pauses = Vec::new();
        for _ in 0..20 {
            let Told::Again(pause) = trouble.told(Verdict::Later(None, "x".into())) else { panic!() };
            pauses.push(pause);
        }
        assert!(pauses[0] <= PAUSE.0 && pauses[19] >= PAUSE.1 / 2 && pauses.iter().all(|&pause| pause <= PAUSE.1));
        assert!(trouble.said.ends_with("x"));
        // It may say itself how long.
        let (asked, hours) = (Duration::from_secs(3), Duration::from_secs(7200));
        assert_eq!(trouble.told(Verdict::Later(Some(asked), "x".into())), Told::Again(asked));
        assert_eq!(trouble.told(Verdict::Later(Some(hours), "x".into())), Told::Again(PAUSE.1));
        assert_eq!(trouble.told(Verdict::Refused("y".into())), Told::Never);
        assert_eq!(trouble.told(Verdict::Taken { rejected: 3, why: String::new() }), Told::Taken(3));
        assert_eq!((trouble.failures, trouble.said.as_str()), (0, ""));
    }
}
