//! The object of `tracer why -o json`.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    audit::{
        facts::{Facts, signals},
        page::Seen,
        stop::Forecast,
    },
    event::WaitCall,
    finding::Finding,
    host::Container,
    ident::Identity,
    sink::json::{
        self,
        line::{self, Counts, Digits, Name, Origin, Status, Wall},
        process,
    },
    time::{BootNs, Span},
    why::{
        Ends, live,
        recorded::{self, Candidate, Life, Parent, Program, Reaped, Received, Sent, Stop, Zombie},
    },
    world::{Death, World},
};

#[derive(Serialize)]
#[serde(tag = "type", rename = "why")]
struct Recorded<'a, F> {
    from: &'static str,
    file: Option<&'a str>,
    recorder: Option<u32>,
    at: Wall,
    at_boot_ns: Digits,
    process: line::Process<'a>,
    container: Option<&'a Container>,
    argv: Vec<Cow<'a, str>>,
    argv_cut: bool,
    roles: Vec<&'static str>,
    chosen: &'static str,
    state: &'static str,
    owed_by: Option<line::Process<'a>>,
    born: Born<'a>,
    programs: Vec<Named<'a>>,
    programs_left_out: u64,
    parents: Vec<Parental<'a>>,
    parents_left_out: u64,
    leader_ended: Option<Time>,
    ended: Option<Ended>,
    reaped: Option<Gone<'a>>,
    signals: Vec<Fate<'a>>,
    signals_left_out: u64,
    sent: Vec<Cast<'a>>,
    sent_left_out: u64,
    stop: Option<Asked<'a>>,
    children_born: u64,
    children_adopted: u64,
    children_reaped: u64,
    children: Vec<line::Process<'a>>,
    children_left_out: u64,
    zombies: Vec<Owed<'a>>,
    zombies_left_out: u64,
    findings: Vec<Found<F>>,
    findings_left_out: u64,
    others: Vec<Other<'a>>,
    others_left_out: u64,
    all_signals: bool,
    lost: Counts,
}

/// A moment, in both forms.
#[derive(Serialize)]
struct Time {
    at: Wall,
    at_boot_ns: Digits,
}

impl Time {
    fn new(world: &World, at: BootNs) -> Self {
        Self { at: Wall::new(world, at), at_boot_ns: Digits(at) }
    }
}

/// The last time that something was so, in both forms.
#[derive(Serialize)]
struct Last {
    last_at: Wall,
    last_at_boot_ns: Digits,
}

impl Last {
    fn new(world: &World, at: BootNs) -> Self {
        Self { last_at: Wall::new(world, at), last_at_boot_ns: Digits(at) }
    }
}

#[derive(Serialize)]
struct Born<'a> {
    #[serde(flatten)]
    time: Time,
    seen: bool,
    creator: Option<line::Process<'a>>,
}

#[derive(Serialize)]
struct Named<'a> {
    #[serde(flatten)]
    time: Time,
    comm: Name,
    argv: Option<Vec<Cow<'a, str>>>,
}

#[derive(Serialize)]
struct Parental<'a> {
    #[serde(flatten)]
    time: Time,
    parent: Option<line::Process<'a>>,
    dead_parent: Option<line::Process<'a>>,
    adopter_class: Option<&'static str>,
    adopter_known: Option<&'static str>,
}

#[derive(Serialize)]
struct Ended {
    #[serde(flatten)]
    time: Time,
    ended_at_most: bool,
    status: Status,
    autoreap: bool,
}

#[derive(Serialize)]
struct Gone<'a> {
    #[serde(flatten)]
    time: Time,
    by: Option<line::Process<'a>>,
    call: Option<&'static str>,
    reaped_at_most: bool,
    zombie_for_ns: Option<Span>,
}

#[derive(Serialize)]
struct Fate<'a> {
    #[serde(flatten)]
    time: Time,
    #[serde(flatten)]
    last: Last,
    signal: String,
    sender: Option<Origin<'a>>,
    more_senders: bool,
    verdict: &'static str,
    count: u64,
    taken: u64,
}

#[derive(Serialize)]
struct Cast<'a> {
    #[serde(flatten)]
    time: Time,
    #[serde(flatten)]
    last: Last,
    signal: String,
    target: line::Process<'a>,
    verdict: &'static str,
    count: u64,
}

#[derive(Serialize)]
struct Asked<'a> {
    #[serde(flatten)]
    time: Time,
    signal: String,
    sender: Option<Origin<'a>>,
    asked_by: Vec<line::Process<'a>>,
    verdict: &'static str,
    taken_at_boot_ns: Option<Digits>,
    ended_after_ns: Option<Span>,
}

#[derive(Serialize)]
struct Owed<'a> {
    process: line::Process<'a>,
    age_ns: Span,
    age_is_lower_bound: bool,
    status: Status,
}

#[derive(Serialize)]
struct Found<F> {
    count: u64,
    finding: F,
}

#[derive(Serialize)]
struct Other<'a> {
    process: line::Process<'a>,
    ended_at_boot_ns: Option<Digits>,
    status: Option<Status>,
}

/// What a recording says about a process.
pub fn recorded_page<'a>(world: &'a World, page: &'a recorded::Page) -> impl Serialize + use<'a> {
    let recorded::Page {
        life,
        at,
        began: _,
        start: _,
        owed_by,
        zombies,
        zombie_count,
        children,
        child_count,
        others,
        other_count,
        asked: _,
        provenance,
        reason,
        lost,
        lacks_signals,
    } = page;
    let Life {
        process: last,
        is_born,
        creator,
        programs,
        parents,
        leader_died,
        autoreap,
        reaped,
        received,
        sent,
        stop,
        findings,
        children_born,
        children_adopted,
        children_reaped,
        lost: _,
    } = life;
    let one = |identity: &Identity| line::Process::new(world, identity);
    let name = |identity: &Option<Identity>| identity.as_ref().map(one);
    let identity = last.identity();
    Recorded {
        from: "recording",
        file: provenance.file(),
        recorder: provenance.recorder(),
        at: Wall::new(world, *at),
        at_boot_ns: Digits(*at),
        process: one(&identity),
        container: world.container_of(&identity),
        argv: line::argv(&last.args),
        argv_cut: last.args.cut,
        roles: process::roles(last.roles),
        chosen: reason.id(),
        state: if reaped.is_some() { "gone" } else { process::state(last) },
        owed_by: name(owed_by),
        born: Born { time: Time::new(world, last.key.start), seen: *is_born, creator: name(creator) },
        programs: programs.iter().map(|program| named(world, program)).collect(),
        programs_left_out: programs.left_out(),
        parents: parents.iter().map(|parent| parental(world, parent)).collect(),
        parents_left_out: parents.left_out(),
        leader_ended: leader_died.map(|at| Time::new(world, at)),
        ended: last.death().map(|death| ended(world, death, *autoreap)),
        reaped: reaped.as_ref().map(|reaped| gone(world, reaped)),
        signals: received.iter().map(|received| fate(world, received)).collect(),
        signals_left_out: received.left_out(),
        sent: sent.iter().map(|sent| cast(world, sent)).collect(),
        sent_left_out: sent.left_out(),
        stop: stop.as_ref().map(|stop| asked(world, stop, life.ended_at())),
        children_born: *children_born,
        children_adopted: *children_adopted,
        children_reaped: *children_reaped,
        children: children.iter().map(one).collect(),
        children_left_out: child_count - children.len() as u64,
        zombies: zombies.iter().map(|zombie| owed(world, zombie)).collect(),
        zombies_left_out: zombie_count - zombies.len() as u64,
        findings: found(world, findings),
        findings_left_out: findings.left_out(),
        others: others.iter().map(|candidate| other(world, candidate)).collect(),
        others_left_out: other_count - others.len() as u64,
        all_signals: !lacks_signals,
        lost: lost.into(),
    }
}

fn other<'a>(world: &'a World, candidate: &Candidate) -> Other<'a> {
    let Candidate { process, ended, .. } = candidate;
    Other {
        process: line::Process::new(world, process),
        ended_at_boot_ns: ended.map(|(at, _)| Digits(at)),
        status: ended.and_then(|(_, status)| status).map(Into::into),
    }
}

fn named<'a>(world: &World, program: &'a Program) -> Named<'a> {
    let Program { at, comm, args } = program;
    Named { time: Time::new(world, *at), comm: Name(*comm), argv: args.as_ref().map(line::argv) }
}

fn parental<'a>(world: &'a World, parent: &Parent) -> Parental<'a> {
    let Parent { at, parent, adoption } = parent;
    let one = |identity: &Identity| line::Process::new(world, identity);
    Parental {
        time: Time::new(world, *at),
        parent: parent.as_ref().map(one),
        dead_parent: adoption.as_ref().map(|(from, ..)| one(from)),
        adopter_class: adoption.map(|(_, class, _)| class.id()),
        adopter_known: adoption.map(|(.., known)| known.id()),
    }
}

fn ended(world: &World, death: &Death, autoreap: bool) -> Ended {
    Ended { time: Time::new(world, death.at), ended_at_most: !death.exact, status: death.status.into(), autoreap }
}

fn gone<'a>(world: &'a World, reaped: &Reaped) -> Gone<'a> {
    let Reaped { at, by, zombie_for, exact } = reaped;
    Gone {
        time: Time::new(world, *at),
        by: by.as_ref().map(|by| line::Process::new(world, by)),
        call: exact.and_then(|exact| exact.call).map(WaitCall::id),
        reaped_at_most: exact.is_none(),
        zombie_for_ns: *zombie_for,
    }
}

fn fate<'a>(world: &'a World, received: &Received) -> Fate<'a> {
    let Received { signal, sender, has_others, verdict, is_taken: _, count, at, last_at, taken } = received;
    Fate {
        time: Time::new(world, *at),
        last: Last::new(world, *last_at),
        signal: signal.to_string(),
        sender: line::sender(world, sender),
        more_senders: *has_others,
        verdict: verdict.id(),
        count: *count,
        taken: *taken,
    }
}

fn cast<'a>(world: &'a World, sent: &Sent) -> Cast<'a> {
    let Sent { signal, target, verdict, count, at, last_at } = sent;
    Cast {
        time: Time::new(world, *at),
        last: Last::new(world, *last_at),
        signal: signal.to_string(),
        target: line::Process::new(world, target),
        verdict: verdict.id(),
        count: *count,
    }
}

fn asked<'a>(world: &'a World, stop: &'a Stop, ended_at: Option<BootNs>) -> Asked<'a> {
    let Stop { signal, sender, asked_by, at, verdict, taken_at } = stop;
    Asked {
        time: Time::new(world, *at),
        signal: signal.to_string(),
        sender: line::sender(world, sender),
        asked_by: asked_by.iter().map(|one| line::Process::new(world, one)).collect(),
        verdict: verdict.id(),
        taken_at_boot_ns: taken_at.map(Digits),
        ended_after_ns: ended_at.map(|ended| ended - *at),
    }
}

fn owed<'a>(world: &'a World, zombie: &Zombie) -> Owed<'a> {
    let Zombie { process, age, is_lower_bound, status } = *zombie;
    Owed {
        process: line::Process::new(world, &process),
        age_ns: age,
        age_is_lower_bound: is_lower_bound,
        status: status.into(),
    }
}

fn found<'a>(world: &'a World, findings: &'a Ends<(Finding, u64)>) -> Vec<Found<impl Serialize + use<'a>>> {
    findings.iter().map(|(finding, count)| Found { count: *count, finding: json::found(world, finding) }).collect()
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "why")]
struct Live<'a> {
    from: &'static str,
    process: Seen<'a>,
    pid_ns: Option<u32>,
    container: Option<&'a Container>,
    init: Option<Seen<'a>>,
    outsider: bool,
    kernel_thread: bool,
    state: &'static str,
    state_letter: char,
    age_s: u64,
    threads: u64,
    parents: Vec<Seen<'a>>,
    tracer: Option<Seen<'a>>,
    zombies: Vec<Seen<'a>>,
    children: Vec<Seen<'a>>,
    pending: Vec<String>,
    blocked: Vec<String>,
    ignored: Vec<String>,
    caught: Vec<String>,
    awaited: Option<Vec<String>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    unseen: &'a str,
    signal: String,
    acts: bool,
    sure: &'static str,
    why: &'a str,
    fix: Option<&'a str>,
}

/// What can be seen of a process now.
pub fn live_page(page: &live::Page) -> impl Serialize + use<'_> {
    let live::Page { process, container, init, is_outsider, parents, tracer, zombies, children, signal, forecast } =
        page;
    let Forecast { acts, sure, why, fix } = forecast;
    let names = |mask| signals(mask).map(|signal| signal.to_string()).collect::<Vec<_>>();
    Live {
        from: "machine",
        process: process.into(),
        pid_ns: process.pid_ns,
        container: container.as_ref(),
        init: init.as_ref().map(Seen::from),
        outsider: *is_outsider,
        kernel_thread: process.is_kthread,
        state: seen_state(process),
        state_letter: process.state,
        age_s: process.age,
        threads: process.threads,
        parents: seen(parents),
        tracer: tracer.as_ref().map(Seen::from),
        zombies: seen(zombies),
        children: seen(children),
        pending: names(process.pending),
        blocked: names(process.blocked),
        ignored: names(process.ignored),
        caught: names(process.caught),
        awaited: process.awaited.map(names),
        unseen: process.unseen,
        signal: signal.to_string(),
        acts: *acts,
        sure: sure.id(),
        why,
        fix: (!fix.is_empty()).then_some(fix),
    }
}

fn seen(processes: &[Facts]) -> Vec<Seen<'_>> {
    processes.iter().map(Seen::from).collect()
}

fn seen_state(process: &Facts) -> &'static str {
    match process.state {
        'Z' if process.is_zombie() => "zombie",
        'Z' => "leader-dead",
        'X' => "exiting",
        'T' | 't' => "stopped",
        _ => "running",
    }
}
