//! Any bytes as what others write: command lines, control groups, configurations of containers, answers of engines,
//! lines of the kernel's log, type information.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tracer_model::{
    foreign::{btf::Btf, bundle, cgroup, dockerd, kmsg::Kmsg, lxc, runtime, stat},
    host::{Container, Engine},
    ident::Args,
    time::BootNs,
};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    command_line(bytes, &text);
    container(bytes);
    if let Some(named) = cgroup::container(&text) {
        let is_name = if named.engine == Engine::Lxc { lxc::is_name } else { cgroup::is_engines_id };
        assert!(is_name(&named.id), "{named:?}");
    }
    // Hierarchies of the first version, and of the second: a path is behind a prefix of either.
    for prefix in ["0::/", "1:name=systemd:/"] {
        let line = format!("{prefix}{text}");
        let _ = (cgroup::container(&line), cgroup::unit(&line));
    }
    let mut log = Kmsg::default();
    for record in bytes.split(|&byte| byte == 0) {
        let _ = log.record(record);
    }
    let _ = (stat::stat(bytes, BootNs::ZERO), stat::masks(&text));
    if let Ok(btf) = Btf::new(bytes) {
        for path in ["task_struct.pid", "task_struct.signal.flags", "a.b", ""] {
            let _ = btf.find(path);
        }
        let _ = btf.has_enumerator("pid_type", "PIDTYPE_PID");
    }
});

fn command_line(bytes: &[u8], text: &str) {
    for cut in [false, true] {
        let args = Args { bytes: bytes.to_vec().into(), cut, ..Args::default() };
        let _ = (args.to_string(), runtime::is_setup(&args));
        if let Some(call) = runtime::Invocation::of(&args, || 1000) {
            assert!(!call.id.is_empty());
            let _ = (call.uid(), call.bundle_of("other"));
        }
    }
    let words: Vec<_> = text.split('\0').map(str::to_owned).collect();
    let _ = runtime::shim(&words, Some(Path::new("/state/moby/abc")), 0);
}

fn container(bytes: &[u8]) {
    let fresh = || Container { id: "abc".into(), ..Container::default() };
    let readers: [fn(&[u8], &mut Container); 4] = [
        bundle::config,
        bundle::podman,
        |bytes, container| drop(dockerd::listed(bytes, container)),
        |bytes, container| drop(dockerd::inspected(bytes, container)),
    ];
    for read in readers {
        let mut container = fresh();
        read(bytes, &mut container);
        assert_eq!(container.id, "abc", "it is not theirs to say");
        let _ = (container.place(), container.is_called("web"));
    }
}
