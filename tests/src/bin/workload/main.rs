//! Stages one situation of the kernel, so that a test can see what `tracer` reports about it.
//!
//! `workload ACT [ARGUMENT…]` talks to the test over its standard streams (see [`talk`]): every
//! process that matters writes its name and its pid when it is ready, and the next step follows
//! when the test writes its name. What the test can do itself, such as killing, no act does.

mod attacks;
mod children;
mod ends;
mod held;
mod hostile;
mod leaks;
mod listener;
mod namespaces;
mod orders;
mod queue;
mod talk;
mod threads;

fn main() {
    let args: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let act: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    match act[..] {
        ["init", kind] => namespaces::init(kind),
        ["family", members] => namespaces::family(number(members)),
        ["nested", depth] => namespaces::nested(number(depth)),
        ["crowd", members] => namespaces::crowd(number(members)),
        ["orphanage"] => namespaces::orphanage(),
        ["inside", pid] => namespaces::inside(number(pid)),

        ["parent", kind] => children::parent(kind),
        ["leak", interval] => leaks::leak(number(interval)),
        ["together", how] => leaks::together(how),
        ["ptys", count] => leaks::ptys(number(count)),

        ["vfork"] => children::vfork(),
        ["daemon"] => children::daemon(),
        ["subreapers"] => children::subreapers(),
        ["clone-parent"] => children::clone_parent(),
        ["traced"] => children::traced(),
        ["nursery", ..] => children::nursery(),
        ["leaver"] => children::leaver(),
        ["storm", forks] => children::storm(number(forks)),

        ["forking-thread"] => threads::forking_thread(),
        ["dead-leader"] => threads::dead_leader(),
        ["exec-by-thread"] => threads::exec_by_thread(),
        ["exec-while-held"] => threads::exec_while_held(),
        ["after-exec"] => threads::after_exec(),

        ["heirs", kind] => orders::heirs(kind),
        ["leader-first", kind] => orders::leader_first(kind),
        ["last-of-a-namespace"] => orders::last_of_a_namespace(),
        ["leftover", pid] => orders::leftover(number(pid)),
        ["leader-first-held", held] => orders::leader_first_held(held),
        ["reaped-twice"] => orders::reaped_twice(),
        ["reaps-itself"] => orders::reaps_itself(),
        ["without-a-signal"] => orders::without_a_signal(),
        ["before-an-exec"] => orders::before_an_exec(),
        ["blocked-then-ignored"] => orders::blocked_then_ignored(),
        ["not-permitted"] => orders::not_permitted(),

        ["end", how] => ends::end(how),
        ["raise-again"] => ends::raise_again(),
        ["blocked-until"] => ends::blocked_until(),
        ["group", members] => ends::group(number(members)),
        ["death-of-a-parent"] => ends::death_of_a_parent(),
        ["death-of-a-tracer"] => ends::death_of_a_tracer(),
        ["on-a-terminal"] => ends::on_a_terminal(),
        ["below-a-leader"] => ends::below_a_leader(),

        ["held-at-its-exit"] => held::held_at_its_exit(),
        ["background-reader", group] => held::background_reader(group),
        ["status", how] => held::status(how),
        ["reads-to-the-end", holder] => held::reads_to_the_end(holder),

        ["room-for", signals, times] => queue::room_for(number(signals), number(times)),
        ["blocks-all"] => queue::blocks_all(),

        ["listener"] => listener::listen(),

        ["arguments"] => attacks::arguments(),
        ["descriptors", count] => attacks::descriptors(number(count)),

        ["hostile"] => hostile::change_names(),
        ["hostile-parent", ..] => hostile::parent(),

        // A process that does nothing at all: the test's end marker.
        ["nothing"] => {}
        ["idle"] => loop {
            std::thread::park();
        },
        _ => panic!("no act is called {act:?}"),
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is not a number"))
}
