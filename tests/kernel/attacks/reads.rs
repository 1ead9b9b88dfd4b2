//! What `tracer` reads or asks for at the word of a process, a container or an engine is bounded.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::{
        fd::AsRawFd,
        unix::{fs::symlink, net::UnixListener},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        resource::{Resource, setrlimit},
        stat::Mode,
    },
    unistd::mkfifo,
};
use rustix::process::geteuid;
use tracer_tests::{
    Run, Stage,
    contract::Line,
    machine::{Need, stat, tracer_path},
    run::{output, tracer},
};

use super::{NOBODY, fake};
use crate::{Test, live};

pub fn trials() -> Vec<Test> {
    vec![
        live("arguments_of_gigabytes", arguments_of_gigabytes),
        live("bundles_that_are_no_files", bundles_that_are_no_files),
        live("bundles_that_do_not_answer", bundles_that_do_not_answer).needs(Need::File("/dev/fuse")),
        live("words_in_a_path_to_docker", words_in_a_path_to_docker),
        live("docker_that_answers_without_end", docker_that_answers_without_end),
        live("descriptors_by_the_thousand", descriptors_by_the_thousand),
        live("no_proc", no_proc).needs(Need::Program("unshare")),
    ]
}

/// The address space of a `tracer` that somebody tries to make use more: enough for its threads and buffers.
const ADDRESS_SPACE: u64 = 2 << 30;

/// A tracer that cannot take all memory.
fn bounded(arguments: &[&str]) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = tracer(arguments);
    // SAFETY: setrlimit(2) is safe to call between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_AS, ADDRESS_SPACE, ADDRESS_SPACE)?));
    }
    command
}

/// The most memory that a process has used, in MiB.
fn most_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("status has VmHWM");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

/// A bundle that belongs to root, with that name in it.
fn bundle(directory: &Path, name: &str) -> String {
    let bundle = directory.join(name);
    fs::create_dir(&bundle).expect("a new directory");
    let config = format!(r#"{{"annotations": {{"nerdctl/name": "{name}"}}}}"#);
    fs::write(bundle.join("config.json"), config).expect("it can be written");
    bundle.display().to_string()
}

/// A container that starts now is reported with its name.
fn still_names(run: &mut Run, directory: &Path, name: &str) {
    fake("runc", &["create", "--bundle", &bundle(directory, name), &format!("id-of-{name}")], 0);
    run.wait_until(
        &format!("the name {name}"),
        |line| matches!(line, Line::Container(container) if container.name.as_deref() == Some(name)),
    );
}

fn arguments_of_gigabytes() {
    let mut stage = Stage::act(&["arguments"], &Default::default());
    let pid = stage.pid("arguments");
    for arguments in [&["tree", "-o", "json"][..], &["why", &pid.to_string(), "-o", "json"]] {
        let output = output(bounded(arguments));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.len() < 8 << 20, "the arguments are cut");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("\"pid\":{pid}")));
    }
}

fn bundles_that_are_no_files() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    let evil = |name: &str| {
        fs::create_dir(path.join(name)).expect("a new directory");
        path.join(name).join("config.json")
    };
    mkfifo(&evil("fifo"), Mode::S_IRUSR).expect("a FIFO");
    symlink("/dev/zero", evil("endless")).expect("a link");
    fs::create_dir(evil("directory")).expect("a new directory");
    fs::write(evil("large"), vec![b' '; 40 << 20]).expect("it can be written");
    let mut run = Run::start();
    for user in [NOBODY, geteuid().as_raw()] {
        for name in ["fifo", "endless", "directory", "large"] {
            let bundle = path.join(name).display().to_string();
            fake("runc", &["create", "--bundle", &bundle, &format!("{name}-{user}")], user);
        }
    }
    still_names(&mut run, path, "web");
    let most = most_memory(run.id());
    assert!(most < 200, "{most} MiB");
    run.finish();
}

/// A FUSE file system whose server never answers.
struct Silent {
    at: PathBuf,
    _server: fs::File,
    /// Looks up a name in it, and hangs.
    reader: Child,
}

impl Silent {
    /// A process already looks up `name` in it: a second look-up waits in `d_alloc_parallel()`, which no signal ends.
    fn new(at: PathBuf, name: &str) -> Self {
        fs::create_dir(&at).expect("a new directory");
        let server = fs::File::options().read(true).write(true).open("/dev/fuse").expect("it is there");
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", server.as_raw_fd());
        mount(Some("silent"), &at, Some("fuse"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some(options.as_str()))
            .expect("it can be mounted");
        let reader = Command::new("ls").arg(at.join(name)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let reader = reader.expect("ls can be started");
        let hangs = || stat(reader.id() as i32).is_some_and(|reader| reader.state == 'D');
        while !hangs() {
            thread::yield_now();
        }
        Self { at, _server: server, reader }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Aborting the connection ends what hangs.
        let _ = self.reader.kill();
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        let _ = self.reader.wait();
    }
}

/// A `tracer` that looked into it could not end until somebody else aborts the connection.
fn bundles_that_do_not_answer() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    let silent = Silent::new(path.join("silent"), "bundle");
    symlink(&silent.at, path.join("link")).expect("a link");
    let mut run = Run::start();
    for (id, bundle) in [("direct", silent.at.join("bundle")), ("by-a-link", path.join("link/bundle"))] {
        fake("runc", &["create", "--bundle", &bundle.display().to_string(), id], geteuid().as_raw());
    }
    still_names(&mut run, path, "web");
    run.finish();
    drop(silent);
}

/// A fake dockerd: answers the first line of each request with what `serve` returns, and without an end if that is
/// nothing. Returns the requests.
fn dockerd(socket: &Path, serve: fn(&str) -> Option<String>) -> Receiver<String> {
    let listener = UnixListener::bind(socket).expect("a socket");
    let (said, asked) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let said = said.clone();
            thread::spawn(move || {
                let mut to = stream.try_clone().expect("a descriptor");
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if !line.starts_with("GET ") {
                        continue;
                    }
                    let answer = serve(&line);
                    // The receiver may be gone.
                    let _ = said.send(line);
                    let sent = match answer {
                        Some(body) => write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                        None => to.write_all(b"HTTP/1.1 200 OK\r\n\r\n[{\"Image\":\"").and_then(|()| {
                            loop {
                                to.write_all(&[b'A'; 1 << 16])?;
                            }
                        }),
                    };
                    if sent.is_err() {
                        break;
                    }
                }
            });
        }
    });
    asked
}

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A runtime of docker's, by its command line.
fn dockers_runtime(id: &str, user: u32) {
    fake("runc", &["--root", "/var/run/docker/runtime-runc/moby", "run", id], user);
}

fn words_in_a_path_to_docker() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("docker.sock");
    let asked = dockerd(&socket, |line| {
        Some(if line.contains("/containers/json") { "[]" } else { r#"{"Name":"/asked"}"# }.to_owned())
    });
    let mut run = Run::options().environment("DOCKER_HOST", format!("unix://{}", socket.display())).start();
    for user in [NOBODY, geteuid().as_raw()] {
        for id in ["web", "web/export?", "../images/web/get?", "../events?", "..%2fimages", "a b", "../../etc#"] {
            dockers_runtime(id, user);
        }
    }
    dockers_runtime(ID, 0);
    run.wait_until(
        "the name of the last",
        |line| matches!(line, Line::Container(container) if container.name.as_deref() == Some("asked")),
    );
    run.finish();
    let asked: Vec<_> = asked.try_iter().collect();
    assert!(asked.iter().all(|line| line.contains("/_ping ") || line.contains(ID)), "{asked:?}");
    assert!(asked.iter().any(|line| line.contains(ID)), "{asked:?}");
}

fn docker_that_answers_without_end() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let socket = directory.path().join("docker.sock");
    let asked = dockerd(&socket, |line| line.contains("/_ping").then(|| "OK".to_owned()));
    let mut run = Run::options().environment("DOCKER_HOST", format!("unix://{}", socket.display())).start();
    dockers_runtime(ID, 0);
    while !asked.recv().expect("dockerd is asked").contains(ID) {}
    still_names(&mut run, directory.path(), "web");
    let most = most_memory(run.id());
    assert!(most < 200, "{most} MiB");
    run.finish();
}

fn descriptors_by_the_thousand() {
    let mut stage = Stage::act(&["descriptors", "5000"], &Default::default());
    let pid = stage.pid("descriptors").to_string();
    let output = output(tracer(&["why", &pid, "-o", "json"]));
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && page.contains("more descriptors or threads than `tracer` looks at"), "{page}");
}

/// With nothing mounted on `/proc`, it reports that and goes on.
fn no_proc() {
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs none /proc && exec \"$0\" watch --duration 100ms";
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(tracer_path());
    let output = output(command);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("no /proc is mounted here"), "{text}");
}
