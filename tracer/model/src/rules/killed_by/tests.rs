//! The stories of `killed-by`.

use tracer_common::record::signal_flags as bit;

use super::*;
use crate::{
    event::{Adopter, EventKind, Exit, ExitStatus, SignalSent},
    finding::Value,
    ident::Args,
    signal::{Place, Terminal},
    story::{Story, born, born_in, end, key, kill},
};

/// `sshd` (2) < `bash` (3) < `kill` (4), and `sleep` (10) beside them.
fn host() -> Story {
    let mut story = Story::new();
    for (pid, parent, comm) in [(2, 1, "sshd"), (3, 2, "bash"), (4, 3, "kill"), (10, 2, "sleep")] {
        story.fork(born(pid, parent)).exec(pid, comm);
    }
    story
}

/// `sleep` gets a signal and ends by it.
fn killed(story: &mut Story, sent: SignalSent) -> Finding {
    let status = ExitStatus(i32::from(sent.signal.0));
    story.signal(sent).exit(Exit { status, ..end(10, 2, Adopter::None) }).wait(200, &[]);
    story.only()
}

#[test]
fn the_sender_is_named_with_those_that_started_it() {
    let finding = killed(&mut host(), kill(4, 10, Signal::TERM));
    assert_eq!(
        finding.message(),
        "sleep (pid 10) was ended by SIGTERM from kill (pid 4). Sent by: kill (pid 4) < bash (pid 3) < sshd (pid 2) < \
         p1 (pid 1)."
    );
    assert_eq!((finding.confidence, finding.evidence.len()), (Confidence::Certain, 2));
}

#[test]
fn a_browser_that_ends_its_own_helpers_is_no_news() {
    for (parent, killer, want) in [
        ("chromium", "chromium", &[][..]),
        ("chromium", "kill", &["killed-by"]),
        ("gunicorn", "gunicorn", &["killed-by"]),
    ] {
        let mut story = host();
        story.fork(born(20, 3)).exec(20, parent).fork(born(21, 20)).fork(born(22, 21)).exec(22, parent);
        story.fork(born(23, 3)).exec(23, killer);
        let from = if killer == parent { 20 } else { 23 };
        let status = ExitStatus(i32::from(Signal::TERM.0));
        story.signal(kill(from, 22, Signal::TERM)).exit(Exit { status, ..end(22, 21, Adopter::None) });
        assert_eq!(story.wait(200, &[]).rules(), want, "{parent} {killer}");
    }
}

#[test]
fn whose_time_was_up_is_to_get_more() {
    let mut story = host();
    story.fork(born(30, 3)).exec(30, "timeout").fork(born(31, 30)).exec(31, "build");
    story.signal(SignalSent { code: -2, flags: bit::GROUP | bit::HANDLER, ..kill(3, 30, Signal::ALRM) });
    let status = ExitStatus(i32::from(Signal::TERM.0));
    story.signal(kill(30, 31, Signal::TERM)).exit(Exit { status, ..end(31, 30, Adopter::None) });
    let fix = story.wait(200, &[]).only().fix();
    assert_eq!(fix, "give it more time, or find out what took so long: a timer of timeout ran out");
}

#[test]
fn what_was_taken_for_hung_is_to_be_looked_at() {
    for (parent, is_hung) in [("gunicorn", true), ("bash", false)] {
        let mut story = host();
        story.fork(born(30, 3)).exec(30, parent).fork(born(31, 30)).exec(31, "worker");
        let sent = kill(30, 31, Signal::ABRT);
        story.signal(SignalSent { flags: sent.flags | bit::HANDLER, ..sent }).wait(1, &[]);
        let status = ExitStatus(i32::from(Signal::KILL.0));
        story.signal(kill(30, 31, Signal::KILL)).exit(Exit { status, ..end(31, 30, Adopter::None) });
        let fix = story.wait(200, &[]).only().fix();
        assert_eq!(fix.starts_with("find out what kept worker, which gunicorn took for hung"), is_hung, "{fix}");
    }
}

#[test]
fn whoever_handles_its_own_timer_and_raises_it_again_needs_no_handler() {
    let mut story = host();
    let timer = SignalSent { code: -2, flags: bit::GROUP | bit::HANDLER, ..kill(4, 10, Signal::ALRM) };
    let finding = killed(story.signal(timer), SignalSent { code: -6, flags: 0, ..kill(10, 10, Signal::ALRM) });
    let said = "sleep (pid 10) handled SIGALRM, raised it again and ended: its own timer expired";
    assert_eq!(finding.headline, said);
    assert!(!finding.fix().contains("install a handler"), "{}", finding.fix());
}

#[test]
fn what_is_raised_again_after_a_hang_up_has_a_sentence_of_its_own() {
    let mut story = host();
    let hang_up = SignalSent { flags: bit::KERNEL_INFO | bit::GROUP | bit::HANDLER, ..kill(2, 10, Signal::HUP) };
    let finding = killed(story.signal(hang_up), kill(10, 10, Signal::HUP));
    let said = "sleep (pid 10) handled SIGHUP, raised it again and ended: sshd (pid 2) hung up its terminal";
    assert_eq!(finding.headline, said);
}

#[test]
fn who_hung_up_the_terminal_is_named_unless_it_was_the_kernel() {
    use crate::event::{Roles, TaskInfo};
    for (by, said, advice) in [
        ("tmux: server", "\"tmux: server\" (pid 30) hung up its terminal", "tmux kill-session"),
        ("script", "script (pid 30) hung up its terminal", "setsid, nohup, tmux"),
        ("", "its terminal was hung up", "setsid, nohup, tmux"),
    ] {
        let mut story = host();
        let roles = Roles { kthread: by.is_empty(), ..Roles::default() };
        story.fork(TaskInfo { roles, ..born(30, 1) }).event(EventKind::Rename(key(30), by.into()));
        let flags = bit::KERNEL_INFO | bit::GROUP;
        let finding = killed(&mut story, SignalSent { flags, ..kill(30, 10, Signal::HUP) });
        assert_eq!(finding.headline, format!("sleep (pid 10) was ended by SIGHUP: {said}"));
        assert!(finding.fix().contains(advice), "{}", finding.fix());
        let sender = finding.facts.process("sender").map(|sender| sender.key.tgid);
        assert_eq!((sender, finding.facts.word("how")), ((!by.is_empty()).then_some(30), "terminal"));
    }
}

#[test]
fn the_fault_by_which_abort_ends_pid_1_is_no_fault_of_its_program() {
    for (aborts, ms, want) in [
        (true, 0, "python3 (pid 20) was ended by SIGSEGV: it had called abort(), and is pid 1"),
        (true, 500, "python3 (pid 20) was ended by SIGSEGV after a fault (SI_KERNEL)"),
        (false, 0, "python3 (pid 20) was ended by SIGSEGV after a fault (SI_KERNEL)"),
    ] {
        let mut story = host();
        story.fork(born_in(4_026_532_500, 20, 1, 2)).exec(20, "python3");
        if aborts {
            // It removes its own handler, and tries again.
            for _ in 0..2 {
                let flags = bit::UNKILLABLE;
                story.signal(SignalSent { flags, result: 1, code: signal::SI_TKILL, ..kill(20, 20, Signal::ABRT) });
            }
        }
        story.wait(ms, &[]).signal(SignalSent { flags: 0, code: signal::SI_KERNEL, ..kill(20, 20, Signal::SEGV) });
        story.exit(Exit { status: ExitStatus(11), ..end(20, 2, Adopter::None) }).wait(200, &[]);
        let finding = story.only();
        assert_eq!(finding.headline, want);
        assert_eq!(finding.fix().contains("failed assertion"), aborts && ms == 0, "{}", finding.fix());
    }
}

#[test]
fn what_had_asked_a_server_to_end_is_why_it_ends_its_own_group() {
    for (server, is_told) in [("apache2", true), ("vim", false)] {
        let mut story = host();
        story.fork(born(20, 1)).exec(20, server).fork(born(21, 20)).exec(21, server);
        story.signal(SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(4, 20, Signal::WINCH) }).wait(3_000, &[]);
        for pid in [21, 20] {
            let place = Place { group: 20, session: 20, terminal: None };
            story.signal(SignalSent { aim: Aim::OwnGroup, place, ..kill(20, pid, Signal::TERM) });
        }
        let status = ExitStatus(i32::from(Signal::TERM.0));
        for (pid, parent) in [(21, 20), (20, 1)] {
            story.exit(Exit { status, ..end(pid, parent, Adopter::None) });
        }
        let message = story.wait(200, &[]).only().message();
        let because = "apache2 (pid 20) had handled SIGWINCH from kill (pid 4) 3.0 s before";
        let answer = "apache2 (pid 20) got SIGWINCH from kill (pid 4)";
        assert_eq!(message.contains(because) || message.contains(answer), is_told, "{message}");
    }
}

#[test]
fn what_podman_has_a_runtime_send_is_podmans() {
    let mut story = host();
    story.fork(born(20, 3)).exec(20, "podman").fork(born(21, 20)).exec(21, "runc").fork(born(22, 1)).exec(22, "tini");
    let sent = SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(21, 22, Signal::TERM) };
    let finding = killed(story.signal(sent), kill(22, 10, Signal::TERM));
    let message = finding.message();
    assert!(message.contains("tini (pid 22) got SIGTERM from podman (pid 20) by runc (pid 21)"), "{message}");
    assert!(finding.fix().contains("find out why podman sent it"), "{}", finding.fix());
}

#[test]
fn a_bus_error_of_a_mapped_file_leads_to_the_full_file_system() {
    let of_kernel = kill(10, 10, Signal::BUS);
    for (code, word) in [(1, "core dump"), (2, "/dev/shm"), (4, "broken memory")] {
        let finding = killed(&mut host(), SignalSent { code, flags: 0, ..of_kernel });
        assert!(finding.fix().contains(word), "{code}: {}", finding.fix());
    }
}

#[test]
fn a_line_of_ancestors_ends_at_the_init_of_their_namespace() {
    let mut story = host();
    let ns = 4_026_532_500;
    story.fork(born_in(ns, 20, 1, 2)).fork(born_in(ns, 21, 2, 20)).fork(born_in(ns, 22, 3, 21));
    let message = killed(&mut story, kill(22, 10, Signal::TERM)).message();
    assert!(message.ends_with(" p22 (pid 22, pid 3 inside) < p21 (pid 21) < p20 (pid 20)."), "{message}");
}

#[test]
fn each_cause_has_its_sentence_and_its_advice() {
    let (kernel, none, group, exiting) = (bit::KERNEL_INFO, bit::NO_INFO, bit::GROUP, bit::SENDER_EXITING);
    for (from, signal, flags, code, text, advice) in [
        (
            2,
            Signal::KILL,
            none | group | exiting,
            0,
            "that created it ended; sshd (pid 2) itself lives",
            "thread that lives",
        ),
        (4, Signal::KILL, none, 0, "kill (pid 4) ended its control group", "kill killed the control"),
        (4, Signal::KILL, kernel | exiting | bit::TRACED, 0, "its tracer kill (pid 4) ended", "PTRACE_O_EXITKILL"),
        (2, Signal::HUP, kernel | exiting | group, 0, "it lost its terminal", "setsid"),
        (2, Signal::INT, kernel | group, 0, "from its terminal (Ctrl-C).", "setsid"),
        (2, Signal::QUIT, kernel | group, 0, "from its terminal (Ctrl-\\).", "setsid"),
        (10, Signal::SEGV, 0, 1, "nothing is mapped", "core dump"),
        (10, Signal(8), 0, 1, "(FPE_INTDIV)", "core dump"),
        (10, Signal::SYS, 0, 1, "its seccomp filter", "type=1326"),
        (10, Signal::PIPE, none, 0, "nobody reads", "SIGPIPE"),
        (10, Signal::ALRM, kernel | group, 0, "its own timer", "handler"),
        (10, Signal::XCPU, kernel | group, 0, "(RLIMIT_CPU, or", "ulimit -t"),
        (10, Signal::XFSZ, none, 0, "(RLIMIT_FSIZE)", "ulimit -f"),
        (10, Signal::ABRT, 0, -6, "it called abort()", "failed assertion"),
        (10, Signal::TERM, 0, -6, "(raise(), or kill() on its own pid)", "no other process"),
        // `kill -ABRT $$`
        (10, Signal::ABRT, group, 0, "(raise(), or kill() on its own pid)", "no other process"),
        (10, Signal::KILL, kernel | group, 0, "most likely it exceeded its CPU time limit", "BPF"),
        (2, Signal::KILL, kernel | group, 0, "most likely because memory ran out", "dmesg"),
    ] {
        let finding = killed(&mut host(), SignalSent { flags, code, ..kill(from, 10, signal) });
        assert!(finding.message().contains(text), "{text}: {}", finding.message());
        assert!(finding.fix().contains(advice), "{advice}: {}", finding.fix());
    }
}

#[test]
fn a_hang_up_names_the_terminal_only_if_the_leader_of_its_session_ends() {
    let terminal = Some(Terminal(136 << 20 | 3));
    let flags = bit::KERNEL_INFO | bit::SENDER_EXITING | bit::GROUP;
    let of = |session| {
        let place = Place { group: 10, session, terminal };
        let finding = killed(&mut host(), SignalSent { flags, place, ..kill(2, 10, Signal::HUP) });
        let said = finding.facts.get("terminal").clone();
        (finding.headline, matches!(said, Value::Text(terminal) if terminal == "/dev/pts/3"))
    };
    let named = "sleep (pid 10) was ended by SIGHUP: sshd (pid 2) ended, and with it its session at /dev/pts/3";
    assert_eq!(of(2), (named.to_owned(), true));
    // A member of the session that ends leaves a stopped job behind; the terminal stays.
    let (said, is_named) = of(3);
    assert!(!is_named && said.ends_with("and with it its terminal or session"), "{said}");
}

#[test]
fn what_the_kernel_does_not_say_is_incomplete() {
    let kernel = SignalSent { flags: bit::KERNEL_INFO | bit::GROUP, ..kill(4, 10, Signal::KILL) };
    let limit = SignalSent { current: kernel.target, ..kernel };
    for sent in [kernel, limit] {
        assert!(matches!(killed(&mut host(), sent).confidence, Confidence::Incomplete(_)));
    }
}

#[test]
fn a_long_line_of_ancestors_is_cut_and_ends_at_the_command_of_the_recording() {
    let mut story = host();
    for pid in 20..30 {
        story.fork(born(pid, if pid == 20 { 4 } else { pid - 1 }));
    }
    let finding = killed(&mut story, kill(29, 10, Signal::TERM));
    let text = "by: p29 (pid 29) < p28 (pid 28) < p27 (pid 27) < p26 (pid 26) < … 10 more.";
    assert!(finding.message().ends_with(text), "{}", finding.message());
    assert_eq!(finding.facts.get("ancestors").processes().len(), 13);

    let mut story = host();
    story.event(EventKind::CommandStarted(key(3), Args::default()));
    let message = killed(&mut story, kill(4, 10, Signal::TERM)).message();
    assert!(message.ends_with("by: kill (pid 4) < bash (pid 3)."), "{message}");
    let mut story = host();
    story.event(EventKind::CommandStarted(key(4), Args::default()));
    let message = killed(&mut story, kill(4, 10, Signal::TERM)).message();
    assert!(message.ends_with("by: kill (pid 4)."), "{message}");
}

#[test]
fn many_are_one_sentence() {
    let mut story = host();
    for pid in 100..115 {
        let status = ExitStatus(0x80 | 3);
        story.fork(born(pid, 2)).signal(kill(4, pid, Signal::QUIT));
        story.exit(Exit { status, ..end(pid, 2, Adopter::None) });
    }
    let message = story.wait(200, &[]).only().message();
    assert!(message.starts_with("15 processes were ended by SIGQUIT from kill (pid 4). "), "{message}");
    assert!(message.contains(": p100 (pid 100), p101 (pid 101), "), "{message}");
    assert!(message.ends_with("p109 (pid 109) and 5 more. Core dump: 15 of them left one."), "{message}");
}

#[test]
fn who_raises_what_it_has_handled_was_ended_by_the_first_sender() {
    let mut story = host();
    story.signal(SignalSent { flags: bit::GROUP | bit::HANDLER, ..kill(4, 10, Signal::INT) });
    let message = killed(&mut story, SignalSent { code: -6, ..kill(10, 10, Signal::INT) }).message();
    assert!(
        message.starts_with("sleep (pid 10) handled SIGINT from kill (pid 4), then raised it again and ended."),
        "{message}"
    );
}
