//! Takes from records what must not leave the house: arguments, or all names.
//!
//! Records are changed where the text lies, and nothing else of them is. A test compares this with the
//! table of all fields.

use std::{
    hash::{BuildHasher, RandomState},
    mem::{offset_of, size_of},
};

use tracer_common::{
    ExecRecord, Header, NewRecord, RenameRecord, RowRecord, Task, kind,
    note::{self, CommandLineRecord, CommandStartedRecord, ContainedRecord, OutOfMemoryRecord},
    record::EXEC_FIXED,
};

use crate::{
    host::{Container, StartInfo},
    ident::Comm,
    sink::trace::Redact,
};

/// What to take away.
pub struct Redactor {
    what: Option<Redact>,
    /// Nobody knows this but the process, so nobody can try out names.
    key: RandomState,
}

impl Default for Redactor {
    /// Takes nothing away.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Redactor {
    /// Takes away that much.
    pub fn new(what: Option<Redact>) -> Self {
        Self { what, key: RandomState::new() }
    }

    /// It takes nothing away.
    pub fn is_idle(&self) -> bool {
        self.what.is_none()
    }

    /// Changes what the first record says.
    pub fn redact_start(&self, info: &mut StartInfo) {
        match self.what {
            None => {}
            Some(Redact::Argv) => info.arguments.truncate(1),
            Some(Redact::Names) => {
                info.arguments.clear();
                for name in [&mut info.host, &mut info.boot_id] {
                    *name = self.pseudonym(name.as_bytes());
                }
            }
        }
    }

    /// Changes a record, which may become shorter.
    pub fn redact(&self, record: &mut Vec<u8>) {
        let Some(what) = self.what else { return };
        let Some(&kind) = record.get(offset_of!(Header, kind)) else { return };
        if what == Redact::Names
            && let Some(comm) = comm_of(kind)
            && let Some(Ok(comm)) = record.get_mut(comm..comm + size_of::<Comm>()).map(<&mut [u8; 16]>::try_from)
        {
            *comm = self.name(Comm(*comm).bytes()).0;
        }
        if what == Redact::Names
            && let Some(begin) = container_of(kind)
            && let Some(container) = record.get(begin..)
        {
            let redacted = self.container(kind, container);
            replace(record, begin, &redacted);
        }
        let Some(Arguments { begin, cut }) = arguments_of(kind) else { return };
        let Some(rest) = record.get(begin..) else { return };
        // Behind the arguments of an exec stand numbers, which stay.
        let (arguments, behind) = rest.split_at(if kind == kind::EXEC { args_len(record, rest) } else { rest.len() });
        let behind = behind.to_vec();
        let program = arguments.split(|&byte| byte == 0).next().unwrap_or_default();
        // Some programs write all that they want to say into this one: `sshd: alice@pts/0`.
        let program = program.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let mut kept = match what {
            Redact::Argv => program.to_vec(),
            Redact::Names => {
                self.name(program.rsplit(|&byte| byte == b'/').next().unwrap_or_default()).bytes().to_vec()
            }
        };
        if !kept.is_empty() {
            kept.push(0);
        }
        let length = (kept.len() as u16).to_ne_bytes();
        if kept.len() < arguments.len()
            && let Some(cut) = record.get_mut(cut)
        {
            // The low byte of a number of either size: "there was more".
            *cut = 1;
        }
        kept.extend(behind);
        replace(record, begin, &kept);
        if kind == kind::EXEC {
            record[offset_of!(ExecRecord, args_len)..][..length.len()].copy_from_slice(&length);
        }
    }

    /// What a record says of a container, or the name of one or of a control group, with pseudonyms.
    fn container(&self, kind: u8, bytes: &[u8]) -> Vec<u8> {
        if kind != note::kind::CONTAINER {
            return if bytes.is_empty() { Vec::new() } else { self.pseudonym(bytes).into_bytes() };
        }
        // What cannot be read cannot be made safe.
        let Ok(mut container) = serde_json::from_slice::<Container>(bytes) else { return Vec::new() };
        let Container { id, engine: _, name, image, pod, pod_namespace, stop_signal: _, pid_mode, uid: _, init: _ } =
            &mut container;
        for name in [Some(id), name.as_mut(), image.as_mut(), pod.as_mut(), pod_namespace.as_mut(), pid_mode.as_mut()] {
            if let Some(name) = name.filter(|name| *name != "host") {
                *name = self.pseudonym(name.as_bytes());
            }
        }
        serde_json::to_vec(&container).unwrap_or_default()
    }

    /// The pseudonym of a process's name, which is the same for the path that ends in it.
    fn name(&self, name: &[u8]) -> Comm {
        let name = &name[..name.len().min(15)];
        if name.is_empty() { Comm::default() } else { Comm::from(self.pseudonym(name).as_str()) }
    }

    fn pseudonym(&self, name: &[u8]) -> String {
        // 48 bits of SipHash: no two of a machine's names will meet.
        format!("n{:012x}", self.key.hash_one(name) >> 16)
    }
}

/// How many bytes of arguments an exec has, of those that follow its fixed part.
fn args_len(record: &[u8], rest: &[u8]) -> usize {
    let length = record[offset_of!(ExecRecord, args_len)..].first_chunk().map_or(0, |&bytes| u16::from_ne_bytes(bytes));
    rest.len().min(length.into())
}

/// Puts something else in the place of a record's end.
fn replace(record: &mut Vec<u8>, begin: usize, end: &[u8]) {
    record.truncate(begin);
    record.extend_from_slice(end);
    let length = (record.len() as u32).to_ne_bytes();
    record[offset_of!(Header, len)..][..length.len()].copy_from_slice(&length);
}

/// Where a container or a control group is named, to the end of the record.
fn container_of(kind: u8) -> Option<usize> {
    match kind {
        note::kind::CONTAINER => Some(size_of::<Header>()),
        note::kind::CONTAINED => Some(size_of::<ContainedRecord>()),
        note::kind::OUT_OF_MEMORY => Some(size_of::<OutOfMemoryRecord>()),
        _ => None,
    }
}

/// Where arguments are, to the end of the record.
struct Arguments {
    begin: usize,
    /// Where it is said that there was more.
    cut: usize,
}

fn arguments_of(kind: u8) -> Option<Arguments> {
    let low_byte = |size: usize| if cfg!(target_endian = "little") { 0 } else { size - 1 };
    Some(match kind {
        kind::EXEC => Arguments { begin: EXEC_FIXED, cut: offset_of!(ExecRecord, args_cut) + low_byte(2) },
        note::kind::COMMAND_LINE => {
            Arguments { begin: size_of::<CommandLineRecord>(), cut: offset_of!(CommandLineRecord, cut) + low_byte(4) }
        }
        note::kind::COMMAND_STARTED => Arguments {
            begin: size_of::<CommandStartedRecord>(),
            cut: offset_of!(CommandStartedRecord, cut) + low_byte(4),
        },
        _ => return None,
    })
}

/// Where the name of a process is.
fn comm_of(kind: u8) -> Option<usize> {
    Some(match kind {
        kind::NEW => offset_of!(NewRecord, task) + offset_of!(Task, comm),
        kind::ROW => offset_of!(RowRecord, task) + offset_of!(Task, comm),
        kind::EXEC => offset_of!(ExecRecord, comm),
        kind::RENAME => offset_of!(RenameRecord, comm),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tracer_common::record::Credentials;
    use zerocopy::IntoBytes;

    use super::*;
    use crate::{
        event::{Event, EventKind},
        host::{Engine, OutOfMemory},
        ident::{Args, Trust},
        source::{decode::decode, encode::encode},
        story::key,
        trace::layout,
    };

    fn redacted(what: Redact, kind: EventKind) -> EventKind {
        let mut record = Vec::new();
        encode(&Event { at: 1, cpu: 0, kind }, &mut record);
        Redactor::new(Some(what)).redact(&mut record);
        decode(&record).unwrap().kind
    }

    fn args(bytes: &'static [u8]) -> Args {
        Args { bytes: bytes.into(), ..Args::default() }
    }

    #[test]
    fn of_arguments_the_program_is_kept() {
        for (given, kept, cut) in [
            (&b"mysql\0-psecret\0"[..], &b"mysql\0"[..], true),
            (b"/usr/bin/true\0", b"/usr/bin/true\0", false),
            (b"sshd: secret@pts/0\0", b"sshd:\0", true),
            (b"", b"", false),
        ] {
            let line = redacted(Redact::Argv, EventKind::CommandLine(key(5), args(given)));
            assert_eq!(line, EventKind::CommandLine(key(5), Args { bytes: kept.into(), cut, ..Args::default() }));
            let started = redacted(Redact::Argv, EventKind::CommandStarted(key(5), args(given)));
            assert_eq!(started, EventKind::CommandStarted(key(5), Args { bytes: kept.into(), cut, ..Args::default() }));
        }
    }

    /// A record of a kind that only the kernel writes.
    fn exec(comm: &str, args: &[u8]) -> Vec<u8> {
        let mut record = vec![0; EXEC_FIXED];
        record[offset_of!(Header, kind)] = kind::EXEC;
        record[offset_of!(ExecRecord, comm)..][..16].copy_from_slice(&Comm::from(comm).0);
        record[offset_of!(ExecRecord, args_len)..][..2].copy_from_slice(&(args.len() as u16).to_ne_bytes());
        record.extend_from_slice(args);
        record.extend(Credentials { trust: 1_002, mount_ns: 77 }.as_bytes());
        let length = (record.len() as u32).to_ne_bytes();
        record[offset_of!(Header, len)..][..4].copy_from_slice(&length);
        record
    }

    #[test]
    fn an_exec_keeps_its_name_or_gets_a_pseudonym_that_its_path_shares() {
        let mut record = exec("secret-program-", b"/opt/secret-program-x\0--secret\0");
        Redactor::new(Some(Redact::Argv)).redact(&mut record);
        let EventKind::Exec(kept) = decode(&record).unwrap().kind else { panic!() };
        assert_eq!(
            (kept.comm.bytes(), &kept.args.bytes[..]),
            (&b"secret-program-"[..], &b"/opt/secret-program-x\0"[..])
        );
        assert!(kept.args.cut);
        assert_eq!((kept.args.trust, kept.mount_ns), (Trust::User(1_000), 77));

        let mut record = exec("secret-program-", b"/opt/secret-program-x\0--secret\0");
        Redactor::new(Some(Redact::Names)).redact(&mut record);
        let EventKind::Exec(named) = decode(&record).unwrap().kind else { panic!() };
        assert_eq!(named.args.iter().collect::<Vec<_>>(), [named.comm.bytes()]);
        assert!(!String::from_utf8_lossy(&record).contains("secret"));
    }

    #[test]
    fn a_name_has_one_pseudonym_in_a_trace_and_another_in_the_next() {
        let [one, other] = [(); 2].map(|()| Redactor::new(Some(Redact::Names)));
        assert_eq!(one.name(b"sh"), one.name(b"sh"));
        assert_ne!(one.name(b"sh"), one.name(b"bash"));
        assert_ne!(one.name(b"sh"), other.name(b"sh"));
    }

    #[test]
    fn containers_keep_who_they_are_under_other_names() {
        let redactor = Redactor::new(Some(Redact::Names));
        let redacted = |kind| {
            let mut record = Vec::new();
            encode(&Event { at: 1, cpu: 0, kind }, &mut record);
            redactor.redact(&mut record);
            decode(&record).unwrap().kind
        };
        let some = |text: &str| Some(text.to_owned());
        let container = Container {
            id: "secret-id".to_owned(),
            engine: Engine::Docker,
            name: some("secret"),
            image: some("secret/image"),
            pod: some("secret-pod"),
            pod_namespace: some("secret-namespace"),
            stop_signal: some("SIGINT"),
            pid_mode: some("container:secret"),
            uid: None,
            init: Some(true),
        };
        let EventKind::Container(kept) = redacted(EventKind::Container(Box::new(container.clone()))) else { panic!() };
        assert!(!format!("{kept:?}").contains("secret"), "{kept:?}");
        assert_eq!((kept.engine, kept.stop_signal.clone()), (Engine::Docker, some("SIGINT")));
        assert_eq!(redacted(EventKind::Contained(key(5), "secret-id".into())), EventKind::Contained(key(5), kept.id));
        let group = |path: Option<&str>| OutOfMemory::Group(path.map(str::to_owned));
        let EventKind::OutOfMemory(_, kept) = redacted(EventKind::OutOfMemory(key(5), group(Some("/secret")))) else {
            panic!()
        };
        assert!(matches!(&kept, OutOfMemory::Group(Some(path)) if path.starts_with('n')), "{kept:?}");
        let no_path = EventKind::OutOfMemory(key(5), group(None));
        assert_eq!(redacted(no_path.clone()), no_path);
        let host = Container { pid_mode: some("host"), ..container };
        let EventKind::Container(kept) = redacted(EventKind::Container(Box::new(host))) else { panic!() };
        assert_eq!(kept.pid_mode, some("host"));
    }

    #[test]
    fn no_text_of_any_record_is_forgotten() {
        let table = layout::table();
        for record in table["records"].as_array().unwrap() {
            let kind = record["kind"].as_u64().unwrap() as u8;
            let texts: Vec<_> = record["fields"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|field| field["type"].as_str().unwrap().starts_with("char"))
                .map(|field| field["offset"].as_u64().unwrap() as usize)
                .collect();
            let mut known: Vec<_> = comm_of(kind).into_iter().collect();
            // What varies in length is a text, too, unless it is made of numbers, or the start.
            let rest = record["rest"].as_str().unwrap();
            let is_text = rest.contains("arguments") || kind == kind::EXEC;
            assert_eq!(is_text, arguments_of(kind).is_some(), "{record}");
            let is_name = record["name"].as_str().unwrap().starts_with("contain") || rest.contains("path");
            assert_eq!(is_name, container_of(kind).is_some(), "{record}");
            if kind == kind::EXEC {
                known.push(EXEC_FIXED);
            }
            assert_eq!(texts, known, "{record}");
        }
    }
}
