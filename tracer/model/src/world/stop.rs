//! Follows who asks the inits of namespaces to stop, and whom they tell.

use crate::{
    ident::{Identity, ProcKey},
    signal::Signal,
    stop::{NAMED, Request, Stop, Told},
    time::BootNs,
    world::World,
};

impl World {
    /// A process outside has sent a signal to an init. Who stands behind it is put in where it is wanted.
    pub(super) fn note_request(&mut self, target: ProcKey, request: Request, asked_by: &[Identity]) {
        let asks = self.asks_to_stop(target, request.signal);
        let is_first_kill =
            || self.get(target).and_then(|process| process.stop.as_ref()).is_some_and(|stop| stop.kill.is_none());
        if asks.is_none() && (request.signal != Signal::KILL || !is_first_kill()) {
            return;
        }
        let request = Request { ancestors: self.ancestors(request.sender.key), asked_by: asked_by.to_vec(), ..request };
        let Some(process) = self.processes.get_mut(&target) else { return };
        let stop = process.stop.get_or_insert_default();
        if let Some(is_sure) = asks {
            stop.note(request, is_sure);
            return;
        }
        stop.kill = Some(request);
        let since = stop.enforced().map(|(asked, _)| asked.at);
        let told = since.and_then(|since| self.told(target, since));
        if let Some(stop) = self.processes.get_mut(&target).and_then(|process| process.stop.as_mut()) {
            stop.told = told;
        }
    }

    /// A process has sent another one a signal that asks for something: an init may be passing on what it got.
    pub(super) fn note_passed(&mut self, sender: ProcKey, target: ProcKey) {
        let is_new = |stop: &Stop| {
            stop.passed_to.len() < NAMED && !stop.passed_to.iter().any(|passed_to| passed_to.key == target)
        };
        let Some(stop) = self.get(sender).and_then(|process| process.stop.as_deref()) else { return };
        if sender == target || !is_new(stop) {
            return;
        }
        let target = self.identity(target);
        if let Some(stop) = self.processes.get_mut(&sender).and_then(|process| process.stop.as_mut()) {
            stop.passed_to.push(target);
        }
    }

    /// An init has ended, and the kernel kills what is left: what had it told them of its stop?
    pub(super) fn note_untold(&mut self, init: ProcKey, at: BootNs) {
        let since = self.get(init).and_then(|init| Some(init.stop.as_ref()?.taken(Some(at))?.at));
        let Some(told) = since.and_then(|since| self.told(init, since)) else { return };
        if let Some(stop) = self.processes.get_mut(&init).and_then(|process| process.stop.as_mut()) {
            stop.told = Some(told);
        }
    }

    /// Which children of an init were told of a stop since a time;
    /// `None` if the stream does not have the signals that would tell.
    pub fn told(&self, init: ProcKey, since: BootNs) -> Option<Told> {
        if self.lacks_forwards {
            return None;
        }
        let passed_to = self.get(init).and_then(|init| Some(init.stop.as_ref()?.passed_to.clone()));
        let mut children = Told { passed_to: passed_to.unwrap_or_default(), ..Told::default() };
        for (child, was_told) in self.family(init, since) {
            if was_told {
                children.told += 1;
                if child.has_ignored_since(since) && children.ignoring.len() < NAMED {
                    children.ignoring.push(child.identity());
                }
                continue;
            }
            children.not_told += 1;
            children.adopted += u64::from(child.adoption.is_some());
            if children.named.len() < NAMED {
                children.named.push(child.identity());
            }
        }
        Some(children)
    }

    /// Whether a signal asks an init to end, and whether that is all that can be meant by it: SIGTERM, and what
    /// its container was given as its stop signal. People and engines use others too (lxc-stop SIGPWR,
    /// systemd-nspawn SIGRTMIN+3), which have other meanings elsewhere.
    fn asks_to_stop(&self, target: ProcKey, signal: Signal) -> Option<bool> {
        let of_container = || self.container_of(&self.identity(target))?.own_stop_signal();
        if signal == Signal::TERM || of_container() == Some(signal) {
            return Some(true);
        }
        matches!(signal, Signal::INT | Signal::QUIT | Signal::PWR | Signal::RTMIN_3).then_some(false)
    }
}
