//! Whether two signals come from one hand: from the same process, or from processes that work for each other.

use crate::{
    ident::Identity,
    origin::Certainty,
    programs::{is_client, is_errand, is_runtime, is_shell, is_watcher},
};

/// Who sent a signal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hand<'a> {
    /// The process.
    pub sender: &'a Identity,
    /// Its parent, grandparent and so on then, up to the init of its namespace.
    pub ancestors: &'a [Identity],
    /// The client that had asked an engine for it, then its ancestors.
    pub asked_by: &'a [Identity],
}

impl<'a> Hand<'a> {
    /// The process that acts, then its ancestors: a `kill` or a `sudo` only does what its parent wants.
    pub fn line(self) -> impl Iterator<Item = &'a Identity> {
        let errands = std::iter::once(self.sender).chain(self.ancestors).take_while(|of| is_errand(of.comm.bytes()));
        // An errand of nobody who is known stands for itself.
        let errands = errands.count().min(self.ancestors.len());
        std::iter::once(self.sender).chain(self.ancestors).skip(errands)
    }

    /// The client of an engine for which a runtime acts, then the client's ancestors. Podman has no daemon: its client is
    /// an ancestor of the runtime.
    pub fn client(self) -> &'a [Identity] {
        let above = || self.ancestors.iter().position(|of| is_client(of.comm.bytes()));
        match self.asked_by {
            [] if is_runtime(self.sender.comm.bytes()) => above().map_or(&[], |client| &self.ancestors[client..]),
            asked_by => asked_by,
        }
    }

    /// Whether a person or a script acts, by a shell.
    pub fn is_shell(self) -> bool {
        self.line().next().is_some_and(|acting| is_shell(acting.comm.bytes()))
    }

    /// Whether both are one: seen if the same process acts; likely if one works for the other, or both for the same
    /// parent or client.
    pub fn is_of(self, other: Self) -> Option<Certainty> {
        let is_same = |one: Option<&Identity>, other: Option<&Identity>| match (one, other) {
            (Some(one), Some(other)) => one.key == other.key,
            _ => false,
        };
        let line = |hand: Self| (hand.line().next(), hand.line().nth(1));
        let ((one, above_one), (two, above_two)) = (line(self), line(other));
        // Anything can be a child of an init. An entrypoint runs its `kill` itself.
        let is_common = |process: Option<&Identity>| {
            process.is_some_and(|process| process.ns_pid != 1 && !self.is_of_two_clients(other, process))
        };
        let is_entrypoint = |process: &Identity| process.ns_level > 0 && is_shell(process.comm.bytes());
        // A shell executes its last command itself: the sender of the one has become an errand of the other.
        let is_one = |one: Option<&Identity>, sender: &Identity| one.is_some_and(|one| one.key == sender.key);
        if self.sender.key == other.sender.key
            || (is_one(one, other.sender) && is_common(one))
            || (is_one(two, self.sender) && is_common(two))
            || (is_same(one, two) && (is_common(one) || one.is_some_and(is_entrypoint)))
        {
            return Some(Certainty::Seen);
        }
        let works_for = |one, above: Option<&Identity>| is_same(one, above) && is_common(above);
        let is_family = is_same(self.asked_by.first(), other.asked_by.first())
            || works_for(one, above_two)
            || works_for(two, above_one)
            || works_for(above_one, above_two);
        is_family.then_some(Certainty::Likely)
    }

    /// A shim is the parent of all that is brought into its container, on behalf of whomever.
    fn is_of_two_clients(self, other: Self, parent: &Identity) -> bool {
        let is_brought_in = |hand: Self| hand.sender.key != parent.key && !is_runtime(hand.sender.comm.bytes());
        is_watcher(parent.comm.bytes()) && is_brought_in(self) && is_brought_in(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::{HOST, key};

    fn process(pid: u32, comm: &str) -> Identity {
        let (ns_level, ns_pid) = if pid == 1 { (1, 1) } else { (0, pid) };
        Identity { key: key(pid), comm: comm.into(), pid_ns: HOST, ns_pid, ns_level, container: None }
    }

    /// Whether two lines of processes are one hand.
    fn bond(one: &[(u32, &str)], other: &[(u32, &str)]) -> Option<Certainty> {
        let line = |line: &[(u32, &str)]| line.iter().map(|&(pid, comm)| process(pid, comm)).collect::<Vec<_>>();
        let (one, other) = (line(one), line(other));
        let hand = |line: &'static [Identity]| Hand { sender: &line[0], ancestors: &line[1..], asked_by: &[] };
        hand(one.leak()).is_of(hand(other.leak()))
    }

    #[test]
    fn two_errands_of_one_shell_are_one_hand() {
        let shell = (20, "bash");
        let sudo = [(32, "kill"), (31, "sudo"), (30, "sudo"), shell, (10, "sshd")];
        for (one, other) in [
            (&[(21, "kill"), shell, (10, "sshd")][..], &[(22, "kill"), shell, (10, "sshd")][..]),
            (&[shell, (10, "sshd")], &sudo),
            (&[(21, "kill"), shell, (10, "sshd")], &[(20, "kill"), (10, "sshd")]),
            (&[(9, "app"), (1, "init")], &[(9, "app"), (1, "init")]),
            (&[(21, "kill"), (1, "sh")], &[(22, "kill"), (1, "sh")]),
        ] {
            assert_eq!(bond(one, other), Some(Certainty::Seen), "{one:?} {other:?}");
        }
    }

    #[test]
    fn parent_and_child_and_siblings_are_likely_one_hand() {
        let make = [(20, "make"), (10, "sshd")];
        for (one, other) in [
            (&[(21, "python3"), make[0], make[1]][..], &[make[0], make[1]][..]),
            (&[make[0], make[1]], &[(21, "python3"), make[0], make[1]]),
            (&[(23, "kill"), (21, "sh"), make[0]], &[(22, "sh"), make[0]]),
            (&[(21, "runc"), (20, "containerd-shim")], &[(22, "runc"), (20, "containerd-shim")]),
        ] {
            assert_eq!(bond(one, other), Some(Certainty::Likely), "{one:?} {other:?}");
        }
    }

    #[test]
    fn the_client_is_the_one_that_asked_or_that_started_the_runtime() {
        let line = [(24, "runc"), (23, "podman"), (20, "bash"), (10, "sshd")].map(|(pid, comm)| process(pid, comm));
        let client = |from: usize, asked_by: &[Identity]| {
            let client = Hand { sender: &line[from], ancestors: &line[from + 1..], asked_by }.client();
            client.iter().map(|of| of.key.tgid).collect::<Vec<_>>()
        };
        assert_eq!(client(0, &[]), [23, 20, 10]);
        assert_eq!(client(0, &[process(30, "docker")]), [30]);
        assert!(client(1, &[]).is_empty(), "it acts for itself");
    }

    #[test]
    fn strangers_are_two() {
        for (one, other) in [
            (&[(21, "app"), (1, "systemd")][..], &[(22, "other"), (1, "systemd")][..]),
            (&[(21, "kill"), (1, "systemd")], &[(1, "systemd")]),
            (&[(21, "app"), (1, "sh")], &[(22, "other"), (1, "sh")]),
            (
                &[(24, "kill"), (20, "bash"), (10, "sshd"), (2, "sshd")],
                &[(25, "kill"), (21, "bash"), (11, "sshd"), (2, "sshd")],
            ),
            (&[(21, "kill"), (20, "containerd-shim")], &[(22, "kill"), (20, "containerd-shim")]),
            (&[(21, "kill")], &[(22, "kill")]),
        ] {
            assert_eq!(bond(one, other), None, "{one:?} {other:?}");
        }
    }
}
