//! What dockerd says about a container, over its socket (the Docker Engine API), within bounds: each request is for one
//! container, and no more of an answer is read than such an answer can have.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::HOST,
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, task::JoinSet};

use crate::{
    foreign::{
        cgroup::is_engines_id,
        dockerd::{inspected, listed},
    },
    host::Container,
};

/// The most that is read of an answer; dockerd writes some ten thousand bytes about a container.
const ANSWER_MAX: usize = 4 << 20;
/// The most that is buffered at once.
const BUFFER_MAX: usize = 64 << 10;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Where dockerd listens: where `DOCKER_HOST` says, or at the usual place.
pub(super) struct Dockerd {
    /// `None` for a transport that is not supported.
    socket: Option<PathBuf>,
    /// The newest version of its API; empty for a daemon that does not say.
    version: Mutex<Option<String>>,
}

impl Default for Dockerd {
    fn default() -> Self {
        let host = std::env::var("DOCKER_HOST").ok();
        Self { socket: socket(host.as_deref()), version: Mutex::default() }
    }
}

/// The socket of a `DOCKER_HOST`.
fn socket(host: Option<&str>) -> Option<PathBuf> {
    let host = host.filter(|host| !host.is_empty()).unwrap_or("unix:///var/run/docker.sock");
    host.strip_prefix("unix://").map(PathBuf::from)
}

impl Dockerd {
    /// Asks first for what dockerd knows at once, then for the rest; `answer` gets what is known so far. Ends only if
    /// dockerd answers, so call it with a time limit.
    pub(super) async fn complete(&self, container: &mut Container, answer: impl Fn(&Container)) -> Result<(), Error> {
        // The id becomes part of a path. All of docker's ids look like this.
        let Some(socket) = self.socket.as_deref().filter(|_| is_engines_id(&container.id)) else { return Ok(()) };
        let mut connection = Connection::new(socket).await?;
        let known = self.version.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let version = match known {
            Some(known) => known,
            None => {
                let version = connection.version().await?;
                self.version.lock().unwrap_or_else(PoisonError::into_inner).insert(version).clone()
            }
        };
        // dockerd answers this even while it starts the container: `filters={"id":["ID"]}`.
        let id = &container.id;
        let path = format!("{version}/containers/json?all=1&filters=%7B%22id%22%3A%5B%22{id}%22%5D%7D");
        listed(&connection.get(&path).await?, container)?;
        answer(container);
        // dockerd answers this once the container has started.
        inspected(&connection.get(&format!("{version}/containers/{}/json", container.id)).await?, container)?;
        Ok(())
    }
}

struct Connection {
    requests: SendRequest<Empty<Bytes>>,
    /// Moves the bytes for as long as it lives.
    _mover: JoinSet<()>,
}

impl Connection {
    async fn new(socket: &Path) -> Result<Self, Error> {
        let stream = TokioIo::new(UnixStream::connect(socket).await?);
        let (requests, connection) = http1::Builder::new().max_buf_size(BUFFER_MAX).handshake(stream).await?;
        let mut mover = JoinSet::new();
        // The requests report how it ended, too.
        mover.spawn(async { drop(connection.await) });
        Ok(Self { requests, _mover: mover })
    }

    /// The beginning of paths. Older daemons refuse versions newer than their own; newer daemons may drop paths without
    /// a version.
    async fn version(&mut self) -> Result<String, Error> {
        let response = self.ask("/_ping").await?;
        let version = response.headers().get("api-version").and_then(|version| version.to_str().ok());
        let is_one = |version: &&str| version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let prefix = version.filter(is_one).map_or_else(String::new, |version| format!("/v{version}"));
        body(response).await?;
        Ok(prefix)
    }

    async fn get(&mut self, path: &str) -> Result<Bytes, Error> {
        let response = self.ask(path).await?;
        if !response.status().is_success() {
            return Err(format!("dockerd answers {}", response.status()).into());
        }
        body(response).await
    }

    async fn ask(&mut self, path: &str) -> Result<Response<Incoming>, Error> {
        self.requests.ready().await?;
        let request = Request::get(path).header(HOST, "docker").body(Empty::new())?;
        Ok(self.requests.send_request(request).await?)
    }
}

/// The whole answer, if it is not too large.
async fn body(response: Response<Incoming>) -> Result<Bytes, Error> {
    Ok(Limited::new(response.into_body(), ANSWER_MAX).collect().await?.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::UnixListener,
        sync::mpsc,
        thread,
    };

    use super::*;
    use crate::host::Engine;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// Asks a dockerd that gives each request the answer of `serve`, which may end the connection; what it was asked,
    /// and what came of it.
    fn ask(id: &str, serve: fn(&str) -> Vec<u8>) -> (Vec<String>, Container, bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (said, asked) = mpsc::channel();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for line in lines.map_while(Result::ok).filter(|line| line.starts_with("GET ")) {
                said.send(line.clone()).unwrap();
                if stream.write_all(&serve(&line)).is_err() {
                    break;
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dockerd = Dockerd { socket: Some(path), version: Mutex::default() };
        let mut container = Container { id: id.into(), engine: Engine::Docker, ..Container::default() };
        let is_whole = runtime.block_on(dockerd.complete(&mut container, |_| {})).is_ok();
        drop(runtime);
        (asked.try_iter().collect(), container, is_whole)
    }

    fn answer(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    fn dockers(request: &str) -> Vec<u8> {
        match request {
            _ if request.contains("_ping") => answer("OK"),
            _ if request.contains("/containers/json") => answer(r#"[{"Names":["/web"],"Image":"shop"}]"#),
            _ => answer(
                r#"{"Name":"/web","Config":{"Image":"shop:1","StopSignal":"INT"},"HostConfig":{"PidMode":"host"}}"#,
            ),
        }
    }

    #[test]
    fn one_container_is_asked_for() {
        let (asked, container, is_whole) = ask(ID, dockers);
        assert!(is_whole);
        assert_eq!(asked.len(), 3, "{asked:?}");
        assert_eq!(asked[2], format!("GET /v1.45/containers/{ID}/json HTTP/1.1"));
        assert_eq!((container.name.as_deref(), container.image.as_deref()), (Some("web"), Some("shop:1")));
        assert_eq!((container.stop_signal.as_deref(), container.pid_mode.as_deref()), (Some("INT"), Some("host")));
    }

    #[test]
    fn nothing_else_is_asked_for() {
        let upper = ID.to_uppercase();
        for id in
            ["web", "../events?", "web/export?", "", &ID[1..], &upper, &format!("{ID}0"), &format!("{}?", &ID[1..])]
        {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("docker.sock");
            let listener = UnixListener::bind(&path).unwrap();
            listener.set_nonblocking(true).unwrap();
            let dockerd = Dockerd { socket: Some(path), version: Mutex::default() };
            let mut container = Container { id: id.into(), ..Container::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(dockerd.complete(&mut container, |_| {})).unwrap();
            assert!(listener.accept().is_err(), "asked for {id}");
        }
    }

    #[test]
    fn an_answer_without_an_end_is_not_taken() {
        let (asked, container, is_whole) = ask(ID, |request| match dockers(request) {
            _ if request.contains("/containers/json") => {
                let mut answer = b"HTTP/1.1 200 OK\r\n\r\n[{\"Image\":\"".to_vec();
                answer.resize(ANSWER_MAX * 2, b'A');
                answer
            }
            other => other,
        });
        assert!(!is_whole);
        assert_eq!((asked.len(), container.image), (2, None));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let refused: fn(&str) -> Vec<u8> = |request| match dockers(request) {
            ping if request.contains("_ping") => ping,
            _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
        };
        let other: fn(&str) -> Vec<u8> = |request| match dockers(request) {
            ping if request.contains("_ping") => ping,
            _ => answer("{}"),
        };
        for serve in [refused, other, |_| b"garbage\r\n\r\n".to_vec()] {
            assert!(!ask(ID, serve).2);
        }
    }

    #[test]
    fn only_sockets_are_spoken_to() {
        assert_eq!(socket(None), Some("/var/run/docker.sock".into()));
        assert_eq!(socket(Some("unix:///x.sock")), Some("/x.sock".into()));
        assert_eq!(socket(Some("tcp://127.0.0.1:2375")), None);
    }
}
