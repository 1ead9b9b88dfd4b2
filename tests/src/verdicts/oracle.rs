//! Which verdict follows from what was observed. Nothing here knows how the kernel decides, or
//! what `tracer` reads; where two fates look the same from outside, what the target had set for
//! the signal (as `/proc` shows it) tells them apart.

use nix::libc;

use super::{
    case::{Case, Disposition, Relation, Release, Seen, Way},
    sys::set_of,
};

/// What must be said of a case, in the words of the JSON contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Of each sending; `None` where the kernel generates no signal at all.
    pub sent: Vec<Option<&'static str>>,
    /// Of the signal when it was taken from the queue, each time that it was.
    pub taken: Vec<&'static str>,
    /// Whether the taking may go unsaid: a signal that kills need not be taken, the kernel may
    /// have ended the process when it was sent.
    pub may_be_untaken: bool,
}

/// Nothing that was observed accounts for what happened.
pub const UNEXPLAINED: &str = "unexplained";

/// The fate of the signal of a case.
pub fn fate(seen: &Seen) -> Fate {
    let mut sent: Vec<_> = (0..seen.sendings.len()).map(|i| sent(seen, i)).collect();
    // The end of a session's leader is told to the foreground group, its own (_exit(2)).
    if seen.case.way == Way::HangUp && seen.case.signal == libc::SIGHUP && seen.did.killed {
        sent.push(Some("target-exiting"));
    }
    let was_accepted = sent.iter().flatten().any(|sent| matches!(*sent, "delivered" | "queued" | "siginfo-lost"));
    Fate { sent, taken: if was_accepted { taken(seen) } else { Vec::new() }, may_be_untaken: seen.did.killed }
}

/// Signals that do nothing by default: signal(7), "Ign", and SIGCONT for who is not stopped.
fn does_nothing_by_default(signal: i32) -> bool {
    matches!(signal, libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH | libc::SIGCONT)
}

fn sent(seen: &Seen, i: usize) -> Option<&'static str> {
    let signal = seen.case.signal;
    let set = set_of(signal);
    let sending = &seen.sendings[i];
    let before = &sending.before;
    let earlier = i.checked_sub(1).map(|i| seen.sendings[i].did).unwrap_or_default();
    let did = sending.did;
    let is_pending = sending.after.is_some_and(|after| seen.case.is_pending(&after));
    let is_dead = before.state == 'Z' && (before.threads <= 1 || seen.case.way.is_for_thread());
    Some(match sending.errno {
        libc::EAGAIN => "queue-overflow",
        // Refused, or there was nobody: the kernel did not get as far as a signal.
        1.. => return None,
        _ if seen.is_exiting || is_dead => "target-exiting",
        _ if is_info_lost(seen) => "siginfo-lost",
        // Pending before and after: it counts if in the end one more was taken.
        _ if is_pending && seen.case.is_pending(before) && seen.did.handled < seen.sendings.len() as u32 => "merged",
        _ if is_pending => "queued",
        _ if did.anything() && did != earlier => "delivered",
        _ if did.ended || did.killed || did.stopped => UNEXPLAINED,
        _ if seen.is_kthread => "kernel-thread",
        // The addressed thread blocks it, and yet it is not pending: another thread took it.
        _ if before.blocked & set != 0 => "delivered",
        _ if before.ignored & set != 0 => "ignored-by-choice",
        _ if before.caught & set != 0 => UNEXPLAINED,
        _ if does_nothing_by_default(signal) => "ignored-by-default",
        _ if seen.is_init && matches!(signal, libc::SIGKILL | libc::SIGSTOP) => match seen.case.relation {
            Relation::InsideToInit | Relation::InitToItself => "kill-from-inside",
            _ => UNEXPLAINED,
        },
        _ if seen.is_init => "no-handler",
        // The default action was to stop it, and it did not stop: `get_signal()` lets job control
        // alone where nobody could continue the process.
        _ if seen.case.disposition == Disposition::Orphaned => "delivered",
        _ => UNEXPLAINED,
    })
}

/// A sender who cannot be seen from the target's namespace has pid 0 there too, so that tells
/// nothing of him; but only kill(2) is `SI_USER`.
fn is_info_lost(seen: &Seen) -> bool {
    let Case { way, relation, .. } = seen.case;
    seen.did.is_anonymous && !(way.is_plain() && relation.is_from_outside())
}

fn taken(seen: &Seen) -> Vec<&'static str> {
    let signal = seen.case.signal;
    let set = set_of(signal);
    let did = seen.did;
    if did.handled > 0 {
        return vec!["delivered"; did.handled as usize];
    }
    if did.stopped || did.killed {
        return vec!["delivered"];
    }
    let is_stop = matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
    let was_pending = seen.sendings.iter().any(|sending| sending.after.is_some_and(|look| seen.case.is_pending(&look)));
    let is_pending = seen.at_end.is_some_and(|look| seen.case.is_pending(&look));
    let was_blocked = seen.sendings.iter().any(|sending| sending.before.blocked & set != 0);
    match seen.release {
        _ if is_pending || did.consumed > 0 || did.ended => return Vec::new(),
        // Gone with the sigaction(2), or with the SIGCONT, before anybody could take it.
        Release::Ignored { was_pending: false } | Release::Suppressed => return Vec::new(),
        Release::Continued if is_stop => return Vec::new(),
        // It was in nobody's way, and nobody took it.
        _ if !was_pending && !was_blocked && did.trapped == 0 => return Vec::new(),
        _ => {}
    }
    let Some(look) = seen.at_end else { return vec![UNEXPLAINED] };
    vec![if look.ignored & set != 0 {
        "ignored-by-choice"
    } else if look.caught & set == 0 && does_nothing_by_default(signal) {
        "ignored-by-default"
    } else if look.caught & set == 0 && seen.is_init {
        "dropped-at-delivery"
    } else {
        UNEXPLAINED
    }]
}
