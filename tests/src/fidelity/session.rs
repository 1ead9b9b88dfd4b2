//! Worlds that follow the kernel, a crew that gives them something to follow, and the points of
//! rest at which both must be the same.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use tracer::{
    ident::{PidNs, ProcKey},
    source::{
        live::Live,
        load::{LoadError, LoadOptions},
    },
};

use super::{
    compare::{differences, strangers, unsaid},
    crew::Crew,
    explain::{Found, explain, explain_finding},
    follower::{Follower, Losing},
    kernel::{Kernel, Life, Picture, against_proc, of_world},
    ledger::Ledger,
    plan::Step,
    truth::Truth,
};

/// What a run allows for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a difference may last.
    pub deadline: Duration,
    /// How long one may last in a world that loses records on purpose.
    pub converge: Duration,
    /// How long nothing may happen before nobody waits for an actor any more.
    pub grace: Duration,
    /// An operation of so many begins another world meanwhile; 0 for none.
    pub start_every: u64,
}

/// What a run has seen, whatever came out of it.
#[derive(Debug, Default)]
pub struct Totals {
    /// Points of rest.
    pub rests: u64,
    /// Worlds that began while actors were at work, and were compared.
    pub begun: u64,
    /// Looks at processes at random moments.
    pub looks: u64,
    /// Of these, with records lost since the last one.
    pub after_loss: u64,
    /// Findings about the workload that were found to be true.
    pub findings: u64,
    /// How often the counts of all records, come and lost, were found to be those of the world that
    /// loses nothing.
    pub counted: u64,
    /// Processes that were compared, at all of them.
    pub processes: u64,
    /// Of these, zombies.
    pub zombies: u64,
    /// And zombies that nobody can reap, because a thread of theirs is held.
    pub held: u64,
    /// Pid namespaces likewise.
    pub namespaces: u64,
    /// The deepest of them.
    pub deepest: u32,
    /// The longest time that a difference lasted, in worlds that lose nothing on purpose.
    pub longest: Duration,
    /// And in those that do.
    pub longest_losing: Duration,
    /// Time spent at rest.
    pub resting: Duration,
    /// Records that were lost.
    pub lost: u64,
    /// Events of all worlds.
    pub events: u64,
}

/// A world that is not as the kernel.
#[derive(Debug)]
pub struct Failure {
    /// The operations that were carried out in this episode until then.
    pub ops: Vec<u64>,
    /// For a person: all differences, and what the world was told of whom they are about.
    pub text: String,
}

/// See the module.
pub struct Session {
    crew: Crew,
    follow: Follow,
    limits: Limits,
    /// What was seen so far.
    pub totals: Totals,
}

/// The half that looks.
struct Follow {
    /// Those that follow it all, and at the end one that began meanwhile, if one did.
    followers: Vec<Follower>,
    /// How many follow it all.
    all: usize,
    /// Attaches its programs.
    attaching: Option<JoinHandle<Result<Live, LoadError>>>,
    looks: u64,
    truth: Truth,
    ledger: Ledger,
    kernel: Kernel,
    root: ProcKey,
    /// Every process of this episode, dead or alive, and every namespace.
    ours: BTreeSet<ProcKey>,
    namespaces: BTreeSet<PidNs>,
    turned: Instant,
    /// How long records may wait in the ring buffer while actors work.
    turn: Duration,
}

impl Follow {
    /// Takes in what has come up; often enough that no record is lost.
    fn turn(&mut self) -> Result<()> {
        if self.turned.elapsed() < self.turn { Ok(()) } else { self.catch_up() }
    }

    fn catch_up(&mut self) -> Result<()> {
        if self.attaching.as_ref().is_some_and(JoinHandle::is_finished) {
            self.begin()?;
        }
        self.look()?;
        for follower in &mut self.followers {
            follower.catch_up(&mut self.truth)?;
            for (key, from, ns) in follower.watch.births.drain(..) {
                if from.into_iter().flatten().any(|key| self.ours.contains(&key)) {
                    self.ours.insert(key);
                    self.namespaces.insert(ns);
                }
            }
        }
        self.turned = Instant::now();
        Ok(())
    }

    /// Has another world begin while actors are at work: attaching takes a while, and is done beside them.
    fn attach(&mut self) {
        self.followers.truncate(self.all);
        self.attaching = Some(thread::spawn(|| Live::attach(&LoadOptions::default())));
    }

    /// Its programs are attached: it begins.
    fn begin(&mut self) -> Result<()> {
        let Some(attaching) = self.attaching.take() else { return Ok(()) };
        let live = attaching.join().map_err(|_| anyhow!("the thread that attaches programs has panicked"))??;
        self.followers.push(Follower::begin(live, &mut self.truth)?);
        Ok(())
    }

    /// Looks at some of the workload, whatever it is doing.
    fn look(&mut self) -> Result<()> {
        for _ in 0..LOOKS {
            let Some(&key) = self.ours.iter().nth(fastrand::usize(..self.ours.len().max(1))) else { return Ok(()) };
            for follower in &mut self.followers {
                follower.look_at(key, &mut self.truth)?;
                self.looks += u64::from(follower.has_looks);
            }
        }
        Ok(())
    }

    /// As [`Follow::catch_up`], and what no event tells.
    fn survey(&mut self) -> Result<()> {
        for follower in &mut self.followers {
            follower.survey(&mut self.truth)?;
        }
        self.catch_up()
    }

    fn forget(&mut self) {
        self.followers.truncate(self.all);
        self.ours = BTreeSet::from([self.root]);
        self.namespaces.clear();
        self.truth.forget(&self.ours);
        for follower in &mut self.followers {
            follower.watch.unreaped.clear();
        }
    }

    fn lost(&self) -> u64 {
        self.followers.iter().map(|follower| follower.watch.lost).sum()
    }

    /// Where the worlds are not as the kernel, and what no rule has spoken of.
    fn differences(&mut self, kernel: &Picture) -> Vec<Found> {
        self.ours.extend(kernel.processes.keys().copied());
        self.namespaces.extend(kernel.namespaces.keys().copied());
        let mut found = Vec::new();
        for (i, follower) in self.followers.iter().enumerate() {
            self.ours.extend(strangers(follower.world(), self.root, kernel));
            let world = of_world(follower.world(), &self.ours, &self.namespaces);
            let unsaid = if follower.has_rules { unsaid(kernel, &follower.watch.unreaped) } else { Vec::new() };
            let all = differences(kernel, &world).into_iter().chain(unsaid);
            found.extend(all.map(|difference| Found { follower: i, difference }));
        }
        found
    }

    /// What is wrong with the findings since the last time; how many are right.
    fn judge(&mut self, kernel: &Picture) -> (Vec<String>, u64) {
        let (mut wrong, mut right) = (Vec::new(), 0);
        for follower in &mut self.followers {
            for heard in std::mem::take(&mut follower.watch.findings) {
                match self.truth.judge(&heard, &self.ours, kernel) {
                    Some(what) => {
                        let mut text = format!("by {}: {what}\n", follower.name);
                        explain_finding(&mut text, follower, &heard.finding);
                        wrong.push(text);
                    }
                    None => right += u64::from(self.ours.contains(&heard.finding.process.key)),
                }
            }
        }
        (wrong, right)
    }

    fn kernel(&mut self) -> Result<Picture> {
        self.kernel.descendants(self.root.tgid)
    }
}

impl Session {
    /// Attaches everything.
    ///
    /// # Errors
    /// If something does not work at all.
    pub fn start(limits: Limits, losing: Option<Losing>) -> Result<Self> {
        let crew = Crew::start(limits.grace)?;
        let mut truth = Truth::default();
        let mut followers = Follower::all(losing, &mut truth)?;
        let ledger = Ledger::open(&mut followers, &mut truth)?;
        let mut kernel = Kernel::open()?;
        let root = *kernel
            .descendants(crew.root())?
            .processes
            .keys()
            .next()
            .context("the task iterator does not list the root of the actors")?;
        let namespaces = BTreeSet::new();
        let ours = BTreeSet::from([root]);
        let follow = Follow {
            all: followers.len(),
            followers,
            attaching: None,
            looks: 0,
            truth,
            ledger,
            kernel,
            root,
            ours,
            namespaces,
            turned: Instant::now(),
            turn: limits.grace / 10,
        };
        Ok(Self { crew, follow, limits, totals: Totals::default() })
    }

    /// The ways in which the kernel is followed.
    pub fn ways(&self) -> impl Iterator<Item = &str> {
        self.follow.followers.iter().map(|follower| follower.name.as_str())
    }

    /// The crew, for its counts.
    pub fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Carries the operations out that `is_asked` for, and compares where the plan rests, and
    /// once more when all actors are gone.
    ///
    /// # Errors
    /// If the test itself does not work.
    pub fn episode(&mut self, steps: &[Step], is_asked: impl Fn(u64) -> bool) -> Result<Option<Failure>> {
        let mut ops = Vec::new();
        let mut compared = 0;
        for step in steps {
            match step {
                Step::Op(op) if is_asked(op.number) => {
                    if self.limits.start_every > 0 && fastrand::u64(..self.limits.start_every) == 0 {
                        self.follow.attach();
                    }
                    self.crew.plan(*op);
                }
                Step::Op(_) => {}
                Step::Barrier => {
                    let Self { crew, follow, .. } = self;
                    ops.extend(crew.settle(&mut || follow.turn())?);
                }
                // Nothing has happened since.
                Step::Rest if ops.len() == compared => {}
                Step::Rest => {
                    compared = ops.len();
                    if let Some(text) = self.rest()? {
                        return Ok(Some(Failure { ops, text }));
                    }
                }
            }
        }
        self.end_episode()?;
        let text = self.rest()?;
        self.follow.forget();
        Ok(text.map(|text| Failure { ops, text }))
    }

    /// Has all actors end.
    ///
    /// # Errors
    /// If they do not.
    pub fn end_episode(&mut self) -> Result<()> {
        let Self { crew, follow, .. } = self;
        crew.end_episode(&mut || follow.turn())
    }

    /// Waits until nothing moves, and compares until there is no difference; what there is to say
    /// if one stays, or if something is false that was said.
    fn rest(&mut self) -> Result<Option<String>> {
        let Self { crew, follow, limits, totals } = self;
        crew.settle(&mut || follow.turn())?;
        follow.begin()?;
        let began = Instant::now();
        let mut still: Option<(Instant, Picture)> = None;
        let mut comparisons = 0;
        let (mut longest, mut longest_losing) = (Duration::ZERO, Duration::ZERO);
        loop {
            crew.beat();
            follow.survey()?;
            let kernel = follow.kernel()?;
            // What moves is no rest.
            let since = match still.take() {
                Some((since, before)) if before == kernel => since,
                _ => {
                    comparisons = 0;
                    Instant::now()
                }
            };
            comparisons += 1;
            let found = follow.differences(&kernel);
            let complaints = if found.is_empty() { contradictions(&kernel) } else { Vec::new() };
            if found.is_empty() && complaints.is_empty() && follow.kernel()? == kernel {
                let (mut wrong, right) = follow.judge(&kernel);
                totals.findings += right;
                let Follow { ledger, followers, all, truth, .. } = follow;
                match ledger.check(&mut followers[..*all], truth)? {
                    Some(Ok(())) => totals.counted += 1,
                    Some(Err(what)) => wrong.push(what),
                    None => {}
                }
                totals.longest = totals.longest.max(longest);
                totals.longest_losing = totals.longest_losing.max(longest_losing);
                totals.resting += began.elapsed();
                totals.add(&kernel, follow);
                return Ok((!wrong.is_empty()).then(|| wrong.join("\n") + "\n"));
            }
            let lasted = since.elapsed();
            let is_losing = |found: &Found| follow.followers[found.follower].watch.is_losing;
            if found.iter().any(is_losing) {
                longest_losing = lasted;
            }
            if !found.iter().all(is_losing) {
                longest = lasted;
            }
            let is_overdue = longest_losing >= limits.converge && comparisons >= COMPARISONS;
            if lasted >= limits.deadline || is_overdue {
                totals.lost = follow.lost();
                let mut text = String::new();
                for complaint in complaints {
                    let _ = writeln!(text, "the kernel contradicts itself: {complaint}");
                }
                let _ = writeln!(text, "after {} ms without a change in the kernel:", lasted.as_millis());
                explain(&mut text, &found, &follow.followers, |pid| crew.actor_of(pid));
                return Ok(Some(text));
            }
            if began.elapsed() >= limits.deadline * 2 {
                bail!("the workload does not come to rest");
            }
            still = Some((since, kernel));
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Totals {
    fn add(&mut self, kernel: &Picture, follow: &Follow) {
        let lost = follow.lost();
        self.after_loss += u64::from(lost > self.lost);
        self.lost = lost;
        self.events = follow.followers.iter().map(|follower| follower.watch.events).sum();
        self.rests += 1;
        self.begun += u64::from(follow.followers.len() > follow.all);
        self.looks = follow.looks;
        self.processes += kernel.processes.len() as u64;
        for facts in kernel.processes.values() {
            self.zombies += u64::from(matches!(facts.life, Life::Zombie(_)));
            self.held += u64::from(facts.life == Life::Held);
        }
        self.namespaces += kernel.namespaces.len() as u64;
        let deepest = kernel.namespaces.values().map(|ns| ns.level).max();
        self.deepest = self.deepest.max(deepest.unwrap_or(0));
    }
}

/// Looks in one turn.
const LOOKS: usize = 3;

/// Comparisons without a change in the kernel that a world which loses records must have failed, too:
/// where this process gets no processor, the time alone proves nothing.
const COMPARISONS: u32 = 10;

/// Where `/proc` does not say what the task iterator does.
fn contradictions(kernel: &Picture) -> Vec<String> {
    let mut complaints = Vec::new();
    for (&key, facts) in &kernel.processes {
        match against_proc(key, facts) {
            Some(differences) => {
                complaints.extend(differences.into_iter().map(|what| format!("pid {}: {what}", key.tgid)));
            }
            None => complaints.push(format!("pid {} is not in /proc", key.tgid)),
        }
    }
    complaints
}
