//! What is known of ends by a signal, for programs.

use std::sync::Arc;

use crate::{
    finding::{FactDef, Facts, Kind, Part, Role, Value, fact::Visibility},
    host::OutOfMemory,
    kill::{EngineExec, Kill},
    rules::{origins, words},
    signal::{self, killer::Killer},
};

/// What is known of ends by a signal, wherever that is told.
pub(in crate::rules) const FACTS: &[FactDef] = &[
    FactDef::new("signal", Kind::Signal, "the signal that ended them").role(Role::FatalSignal),
    FactDef::new("code", Kind::Number, "its `si_code`, as the receiver would have seen it; 0 if it was not seen")
        .role(Role::Code),
    FactDef::new("code_name", Kind::Text, "its name in sigaction(2)").nullable(),
    FactDef::new("how", Kind::Word(Killer::IDS), "where it came from").role(Role::Reason),
    FactDef::new(
        "sender",
        Kind::Sender,
        "who sent it; of a signal that the kernel sends because of a process (`PR_SET_PDEATHSIG`, say), that process",
    )
    .role(Role::Sender),
    FactDef::new(
        "sender_lives",
        Kind::Flag,
        "only for `parent-death` and `tracer-exit`: whether that process lives on, because only the thread ended that had \
         created or traced the other",
    )
    .optional(),
    FactDef::new(
        "ancestors",
        Kind::Processes,
        "the sender's parent, grandparent and so on at that time, up to the init of its namespace",
    ),
    words::ASKED_BY,
    origins::ORIGIN,
    origins::CALL.nullable(),
    FactDef::new(
        "terminal",
        Kind::Text,
        "only of a `hang-up` by the end of the leader of the session: its terminal, such as `/dev/pts/3`",
    )
    .optional(),
    FactDef::new(
        "exec",
        Kind::Record(EXEC),
        "only of a process that an engine had brought into a container without a client, and ended",
    )
    .optional(),
    FactDef::new("count", Kind::Count, "how many it ended within 100 ms").role(Role::Killed),
    FactDef::new("victims", Kind::Processes, "the first ten of them").role(Role::Victims),
    FactDef::new("raised_again", Kind::Count, "how many of them had handled the signal and then raised it once more"),
    FactDef::new(
        "former",
        Kind::Process,
        "of the first victim: whose its pid had been until it got it, less than 10 minutes before, if that was another \
         program; null if nothing such was seen",
    )
    .nullable(),
    FactDef::new("core_dumps", Kind::Count, "how many left a core dump"),
    FactDef::new("out_of_memory", Kind::Record(OUT_OF_MEMORY), "only of `oom`, where the kernel's log could be read")
        .nullable(),
    FactDef::bulky("others", "the other victims"),
    FactDef { visibility: Visibility::Hidden, ..FactDef::new("status", Kind::Status, "how the first of them ended") }
        .role(Role::Status)
        .optional(),
    FactDef::alike(),
];

const EXEC: &[FactDef] = &[
    FactDef::new("command", Kind::Text, "its command line"),
    FactDef::new("age_ns", Kind::Span, "how long it had run"),
];

const OUT_OF_MEMORY: &[FactDef] = &[
    FactDef::new(
        "whose",
        Kind::Word(&["machine", "group"]),
        "who was out of memory: the machine, or a control group at its limit",
    ),
    FactDef::new("group", Kind::Text, "its path, if the kernel's log said which").nullable(),
];

/// What is known of an end. `alike` is what it has in common with others.
pub(in crate::rules) fn facts(kill: &Kill, alike: Option<Vec<Part>>) -> Facts {
    let exhausted = kill.out_of_memory.as_ref().map(|whose| {
        let (whose, group) = match whose {
            OutOfMemory::Machine => ("machine", None),
            OutOfMemory::Group(path) => ("group", path.clone()),
        };
        Facts::of(OUT_OF_MEMORY, [("whose", whose.into()), ("group", group.into())])
    });
    let sender_lives = kill.killer.is_of_thread().then_some(kill.sender_lives);
    Facts::of(
        FACTS,
        [
            ("signal", kill.signal.into()),
            ("code", kill.code.into()),
            ("code_name", signal::code_name(kill.signal, kill.code).map(str::to_owned).into()),
            ("how", kill.killer.id().into()),
            ("sender", kill.sender.into()),
            ("sender_lives", sender_lives.into()),
            ("ancestors", kill.ancestors.clone().into()),
            ("asked_by", kill.asked_by.clone().into()),
            ("origin", origins::facts(&kill.origin, kill.sent_at.unwrap_or(kill.died_at)).into()),
            ("call", kill.call.as_ref().map(origins::call_facts).into()),
            ("terminal", kill.terminal.map(|terminal| terminal.to_string()).into()),
            ("exec", kill.exec.as_ref().map(exec_facts).into()),
            ("count", kill.count.into()),
            ("victims", kill.victims.clone().into()),
            ("raised_again", kill.raised_again.into()),
            ("former", kill.former.map(|former| former.process).into()),
            ("core_dumps", kill.cores.into()),
            ("out_of_memory", exhausted.into()),
            ("others", Value::from(Arc::clone(&kill.others))),
            ("status", kill.status.into()),
            ("alike", alike.into()),
        ],
    )
}

fn exec_facts(exec: &EngineExec) -> Facts {
    Facts::of(EXEC, [("command", exec.args.to_string().into()), ("age_ns", exec.age.into())])
}
