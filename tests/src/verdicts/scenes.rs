//! What cannot be had with every signal in every way: what the kernel sends on its own account,
//! the ends of a parent, a child and a namespace, kernel threads, and targets that somebody may
//! not or cannot send to.

use std::fs;

use nix::libc;
use tracer::{source::live::now, time::BootNs};

use super::{
    case::{Case, Did, Disposition, Relation, Release, Seen, Sender as Who, Sending, Way},
    faults::FAULTS,
    look::Look,
    sender::{Rights, Sender},
    stage::{Stage, prepare, release, take},
    subject::{Home, Outcome, Subject},
    sys,
    target::Command,
    ways::{Kept, Request},
};
use crate::terminal::Terminal;

use Disposition as D;

/// Where it makes a difference how the target stands to what the kernel sends.
const PLAIN: [D; 5] = [D::Default, D::Ignored, D::Handled, D::Blocked, D::BlockedDefault];

/// Stages them all.
pub fn run(stage: &mut Stage) {
    own_doings(stage);
    parents(stage);
    terminals(stage);
    orphaned_groups(stage);
    ends_of_namespaces(stage);
    siblings(stage);
    kernel_threads(stage);
}

/// What a process brings upon itself.
fn own_doings(stage: &mut Stage) {
    let ways: [(Way, &[i32]); 5] = [
        (Way::Fault, FAULTS),
        (Way::Pipe, &[libc::SIGPIPE]),
        (Way::FileSize, &[libc::SIGXFSZ]),
        (Way::Child, &[libc::SIGCHLD]),
        (Way::Interval, &[libc::SIGALRM, libc::SIGVTALRM, libc::SIGPROF]),
    ];
    for relation in [Relation::Own, Relation::InitToItself] {
        for (way, signals) in ways {
            for disposition in PLAIN {
                for &signal in signals {
                    let case = Case { disposition, relation, way, signal };
                    // A child of who ignores SIGCHLD ends without one (`do_notify_parent()`).
                    if way == Way::Child && disposition == D::Ignored {
                        continue;
                    }
                    let mut subject = stage.subject(disposition, relation);
                    let seen = stage.case(&mut subject, case);
                    stage.note(&seen);
                }
            }
        }
    }
}

/// Any signal, when the parent dies.
fn parents(stage: &mut Stage) {
    for disposition in PLAIN {
        for signal in 1..=64 {
            let case = Case { disposition, relation: Relation::Peers, way: Way::ParentDeath, signal };
            let (mut subject, parent) = Subject::with_parent();
            let who = Who::Process(parent.pid);
            let seen = with(&mut subject, case, who, |subject| {
                subject.must(&Command::OnParentDeath(signal));
                parent.die();
            });
            stage.note(&seen);
        }
    }
}

/// Keys, the size, and the end of a terminal, whose session the target leads.
fn terminals(stage: &mut Stage) {
    let keys = [(libc::SIGINT, 3), (libc::SIGQUIT, 0x1c), (libc::SIGTSTP, 0x1a)];
    for home in [Home::Host, Home::Init] {
        let relation = if home == Home::Host { Relation::Peers } else { Relation::HostToInit };
        for disposition in PLAIN {
            let scene = |way, signal, act: &dyn Fn(&mut Subject, &mut Option<Terminal>)| {
                let mut subject = Subject::start(home, None, false, &stage.host);
                let terminal = Terminal::open();
                subject.must(&Command::Terminal(terminal.path().to_owned()));
                let mut terminal = Some(terminal);
                let case = Case { disposition, relation, way, signal };
                with(&mut subject, case, Who::Kernel, |subject| act(subject, &mut terminal))
            };
            let mut all = Vec::new();
            for (signal, key) in keys {
                // Nobody could continue the leader of a session: that is a case of its own.
                let would_stop = matches!(disposition, D::Default | D::BlockedDefault) && home == Home::Host;
                if signal != libc::SIGTSTP || !would_stop {
                    all.push(scene(Way::Key, signal, &|_, terminal| terminal.as_ref().expect("it is open").press(key)));
                }
            }
            all.push(scene(Way::Resize, libc::SIGWINCH, &|_, terminal| {
                terminal.as_ref().expect("it is open").resize();
            }));
            all.push(scene(Way::HangUp, libc::SIGHUP, &|_, terminal| *terminal = None));
            // The other signal of a hang-up, to who survives the first.
            all.push(scene(Way::HangUp, libc::SIGCONT, &|subject, terminal| {
                subject.must(&Command::Set(libc::SIGHUP, sys::Action::Ignore));
                *terminal = None;
            }));
            all.iter().for_each(|seen| stage.note(seen));
        }
    }
}

/// Job control where there is nobody to continue what is stopped.
fn orphaned_groups(stage: &mut Stage) {
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let mut subject = Subject::start(Home::Host, None, false, &stage.host);
        subject.must(&Command::Session);
        let case = Case { disposition: D::Orphaned, relation: Relation::Peers, way: Way::Kill, signal };
        let seen = stage.case(&mut subject, case);
        stage.note(&seen);
    }
}

/// The init dies, and with it who lives in the namespace, or has died there.
fn ends_of_namespaces(stage: &mut Stage) {
    for disposition in [D::Default, D::Zombie] {
        let init = Sender::start(libc::CLONE_NEWPID, Rights::Root);
        let mut member = Subject::start(Home::Member, Some(&init), true, &stage.host);
        if disposition == D::Zombie {
            member.tell(&Command::Exit);
            sys::wait(member.pid, libc::WEXITED | libc::WNOWAIT);
        }
        let way = Way::NamespaceEnd;
        let case = Case { disposition, relation: Relation::HostToMember, way, signal: libc::SIGKILL };
        let pid = member.pid;
        let mut witness = Subject::start(Home::Member, Some(&init), true, &stage.host);
        let mut seen = begin(&member, case);
        let before = member.look(pid).unwrap_or_default();
        sys::kill(init.pid, libc::SIGKILL);
        // A zombie is sent one too, and its state does not change by it; the init waits for us to
        // reap it, so its end tells nothing. `zap_pid_ns_processes()` goes from pid to pid, so the
        // younger member shows that the older has been sent its SIGKILL.
        let end = witness.outcome();
        assert!(matches!(end, Outcome::Ended(_)), "{end:?}");
        let outcome = (disposition != D::Zombie).then(|| member.outcome());
        take(&mut seen.did, outcome, libc::SIGKILL, way);
        let after = if seen.did.killed { None } else { member.look(pid) };
        seen.sendings.push(Sending { sender: Who::Kernel, errno: 0, before, after, did: seen.did });
        seen.at_end = after;
        seen.closed = now();
        stage.note(&seen);
        drop(member);
    }
}

fn flags(stat: &[u8]) -> u32 {
    let stat = String::from_utf8_lossy(stat);
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(6).and_then(|flags| flags.parse().ok()).unwrap_or(0)
}

/// From a namespace beside the target's nothing can be sent: there is no pid to send to, and a
/// descriptor of the process is refused.
fn siblings(stage: &mut Stage) {
    let mut subject = stage.subject(D::Default, Relation::Sibling);
    let sibling = Sender::start(libc::CLONE_NEWPID, Rights::Through(sys::pidfd(subject.pid).expect("it lives")));
    for signal in 1..=64 {
        let case = Case { disposition: D::Default, relation: Relation::Sibling, way: Way::Pidfd, signal };
        let mut seen = begin(&subject, case);
        let pid = subject.pid;
        let before = subject.look(pid).unwrap_or_default();
        let request = Request { way: Way::Pidfd, signal, pid, tid: pid, group: pid };
        let errno = sibling.send(&request).expect("it lives");
        assert_eq!(errno, libc::EINVAL, "pidfd_send_signal(2) reaches a sibling namespace");
        take(&mut seen.did, Some(subject.ask(&Command::Count(signal))), signal, Way::Pidfd);
        let after = subject.look(pid);
        seen.sendings.push(Sending { sender: Who::Process(sibling.pid), errno, before, after, did: seen.did });
        seen.at_end = after;
        seen.closed = now();
        stage.note(&seen);
    }
}

/// kthreadd takes no signals.
fn kernel_threads(stage: &mut Stage) {
    const KTHREADD: i32 = 2;
    const PF_KTHREAD: u32 = 0x0020_0000;
    let stat = fs::read(format!("/proc/{KTHREADD}/stat")).unwrap_or_default();
    if flags(&stat) & PF_KTHREAD == 0 {
        return;
    }
    for way in [Way::Kill, Way::Tgkill, Way::Sigqueue, Way::Pidfd] {
        for signal in 1..=64 {
            let case = Case { disposition: D::KernelThread, relation: Relation::Peers, way, signal };
            let before = Look::at(KTHREADD, KTHREADD).unwrap_or_default();
            let opened = now();
            let request = Request { way, signal, pid: KTHREADD, tid: KTHREADD, group: KTHREADD };
            let errno = Kept::default().perform(&request);
            let after = Look::at(KTHREADD, KTHREADD);
            let me = Who::Process(std::process::id() as i32);
            let did = Did::default();
            stage.note(&Seen {
                case,
                pid: KTHREADD,
                opened,
                closed: now(),
                is_init: false,
                is_kthread: true,
                is_exiting: false,
                sendings: vec![Sending { sender: me, errno, before, after, did }],
                release: Release::None,
                did,
                at_end: after,
            });
        }
    }
}

/// An observation before anything has happened.
fn begin(subject: &Subject, case: Case) -> Seen {
    Seen {
        case,
        pid: subject.pid,
        opened: now(),
        closed: BootNs::ZERO,
        is_init: subject.is_init,
        is_kthread: false,
        is_exiting: false,
        sendings: Vec::new(),
        release: Release::None,
        did: Did::default(),
        at_end: None,
    }
}

/// A case in which `act` brings the signal about, for good, before it returns.
fn with(subject: &mut Subject, case: Case, sender: Who, act: impl FnOnce(&mut Subject)) -> Seen {
    let Case { disposition, way, signal, .. } = case;
    prepare(subject, disposition, signal, 0);
    let pid = subject.pid;
    let mut seen = begin(subject, case);
    let before = subject.look(pid).unwrap_or_default();
    act(subject);
    let outcome: Outcome = subject.ask(&Command::Count(signal));
    take(&mut seen.did, Some(outcome), signal, way);
    let is_over = |did: &Did| did.ended || did.killed;
    let after = if is_over(&seen.did) { None } else { subject.look(pid) };
    seen.sendings.push(Sending { sender, errno: 0, before, after, did: seen.did });
    if !is_over(&seen.did) && !seen.did.stopped {
        release(subject, &mut seen);
    }
    seen.at_end = if is_over(&seen.did) { None } else { subject.look(pid) };
    seen.closed = now();
    seen
}
