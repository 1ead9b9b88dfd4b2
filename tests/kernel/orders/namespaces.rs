//! A pid namespace ends with its init, which is the last to go.

use rustix::process::Signal;
use tracer::source::hooks::Hooks;
use tracer_tests::{Stream, stage::kill};

use super::stage;

/// Order 7: the init kills the living, reaps the dead, and waits until nobody is left.
pub fn init_exits(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut stage = stage(&["last-of-a-namespace"]);
    stream.meet(&mut stage, ["outer", "kid", "zombie", "init"]);
    stream.begin();
    stage.step("exit");
    // Up to 5.15 the kernel accepts it (`prepare_signal()`), and still nobody is left to take it.
    let zombie_killed = "GEN(9->zombie) by init for namespace-end: target-exiting";
    stream.expect(
        &[
            &[
                "EXIT(init)",
                "GEN(9->kid) by init for namespace-end: delivered",
                zombie_killed,
                "REAP(zombie) by init",
                "NOTIFY(init, 17->outer)",
                "GEN(17->outer) by init: ignored-by-default",
                "REAP(init) by outer via wait4",
                "FREE(init)",
            ],
            // The init ignores SIGCHLD from now on, so the kid is notified of and reaped by its own exit.
            &[
                "GEN(9->kid) by init for namespace-end: delivered",
                "EXIT(kid, 9)",
                "NOTIFY(kid, 17->init)",
                "REAP(kid) by kid",
                "NOTIFY(init, 17->outer)",
            ],
            &["REAP(kid) by kid", "FREE(kid)"],
            &["EXIT(kid, 9)", "FREE(kid)"],
            &["REAP(zombie) by init", "FREE(zombie)"],
        ],
        &["REAPED(kid) by nobody, exact", "REAPED(zombie) by init, exact", "REAPED(init) by outer, exact via wait4"],
    );
}

/// Order 8: a zombie whose parent is outside and does not wait holds up the whole end.
pub fn leftover_from_outside(hooks: Hooks) {
    let mut stream = Stream::attach(hooks);
    let mut namespace = stage(&["init", "plain"]);
    let [_, init] = stream.meet(&mut namespace, ["outer", "init"]);
    let mut stage = stage(&["leftover", &init.to_string()]);
    stream.meet(&mut stage, ["outside", "inside", "leaf"]);
    stream.begin();
    stage.step("exit");
    stream.expect(
        &[&[
            "EXIT(inside) children to init",
            "ADOPT(leaf) inside->init",
            "NOTIFY(inside, 17->outside)",
            "GEN(17->outside) by inside: ignored-by-default",
        ]],
        &["ADOPTED(leaf) inside->init as namespace-init, exact"],
    );

    kill(init, Signal::KILL);
    // Up to 5.15 the kernel accepts it (`prepare_signal()`), and still nobody is left to take it.
    let zombie_killed = "GEN(9->inside) by init for namespace-end: target-exiting";
    // Then silence: no notification of the init's end, and nobody who could reap it.
    stream.expect(
        &[&[
            "GEN(9->init) by test: delivered",
            "EXIT(init, 9)",
            zombie_killed,
            "GEN(9->leaf) by init for namespace-end: delivered",
            "EXIT(leaf, 9)",
            "NOTIFY(leaf, 17->init)",
            "REAP(leaf) by leaf",
            "FREE(leaf)",
        ]],
        &["REAPED(leaf) by nobody, exact"],
    );
    let death = stream.process("init").and_then(|init| init.death()).expect("it has begun to exit");
    assert_eq!(death.notified, None, "it is no zombie yet");

    stage.step("wait");
    stream.expect(
        &[
            &[
                "REAP(inside) by outside via wait4",
                "NOTIFY(init, 17->outer)",
                "GEN(17->outer) by init: ignored-by-default",
                "REAP(init) by outer via wait4",
                "FREE(init)",
            ],
            &["REAP(inside) by outside via wait4", "FREE(inside)"],
        ],
        &["REAPED(inside) by outside, exact via wait4", "REAPED(init) by outer, exact via wait4"],
    );
}
