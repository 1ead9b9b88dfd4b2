//! Removes from records what must not be shown to others: arguments, or all names.
//!
//! Records are changed only where text lies. Their descriptions say where that is ([`tracer_common::describe`]).

use std::{
    hash::{BuildHasher, RandomState},
    mem::offset_of,
};

use tracer_common::{
    Header, RecordKind,
    describe::{Field, Form, Layout, Meaning, Record, Rest},
};

use crate::{
    event::Held,
    host::{Container, Rooms, StartInfo},
    ident::Comm,
    programs,
    sink::trace::Redact,
    trace::layout::arguments_length,
};

/// What to take away.
pub struct Redactor {
    what: Option<Redact>,
    /// A secret of this process, so that nobody can try out names.
    key: RandomState,
}

impl Default for Redactor {
    /// Removes nothing.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Redactor {
    /// Removes this.
    pub fn new(what: Option<Redact>) -> Self {
        Self { what, key: RandomState::new() }
    }

    /// Whether it removes nothing.
    pub fn is_idle(&self) -> bool {
        self.what.is_none()
    }

    /// Redacts the contents of the first record.
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

    /// Redacts a record, which may become shorter.
    pub fn redact(&self, record: &mut Vec<u8>) {
        let Some(what) = self.what else { return };
        let number = record.get(offset_of!(Header, kind)).copied().unwrap_or_default();
        let Some(Record { kind, layout, rest, .. }) = RecordKind::from_number(number).map(RecordKind::record) else {
            return;
        };
        if record.len() < layout.size {
            return;
        }
        if what == Redact::Names {
            self.names(layout, record);
        }
        let redacted = match (rest, &record[layout.size..]) {
            (Rest::Nothing | Rest::Data(_), _) => return,
            (Rest::Arguments, arguments) => self.arguments(what, arguments),
            // The arguments are followed by numbers, which stay.
            (Rest::ArgumentsAnd(_), bytes) => {
                let length = arguments_length(layout, record).min(bytes.len());
                let (arguments, behind) = bytes.split_at(length);
                let Arguments { mut kept, is_cut } = self.arguments(what, arguments);
                let length = kept.len() as u16;
                kept.extend_from_slice(behind);
                set(layout, record, length, |meaning| matches!(meaning, Meaning::ArgumentsLength));
                Arguments { kept, is_cut }
            }
            (Rest::Name(_) | Rest::Json, _) if what == Redact::Argv => return,
            (Rest::Name(_), []) => return,
            (Rest::Name(_), name) => Arguments { kept: self.pseudonym(name).into_bytes(), is_cut: false },
            (Rest::Json, bytes) => Arguments { kept: self.json(*kind, bytes), is_cut: false },
        };
        if redacted.is_cut {
            set(layout, record, 1, |meaning| matches!(meaning, Meaning::Cut));
        }
        replace(record, layout.size, &redacted.kept);
    }

    /// Puts pseudonyms into the fields that hold names.
    fn names(&self, layout: &Layout, bytes: &mut [u8]) {
        for &Field { offset, form, meaning, .. } in layout.fields {
            let Some(bytes) = bytes.get_mut(offset..) else { continue };
            match (form, meaning) {
                (Form::Struct(inner), _) => self.names(inner, bytes),
                (Form::Text(_), Meaning::Name) => {
                    if let Some(name) = bytes.first_chunk_mut() {
                        *name = self.name(Comm(*name).bytes()).0;
                    }
                }
                _ => {}
            }
        }
    }

    /// What remains of arguments: the program.
    fn arguments(&self, what: Redact, arguments: &[u8]) -> Arguments {
        let program = arguments.split(|&byte| byte == 0).next().unwrap_or_default();
        // Some programs write all that they want to say into the first argument: `sshd: alice@pts/0`.
        let program = program.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let mut kept = match what {
            Redact::Argv => program.to_vec(),
            Redact::Names => self.name(programs::file_name(program)).bytes().to_vec(),
        };
        if !kept.is_empty() {
            kept.push(0);
        }
        Arguments { is_cut: kept.len() < arguments.len(), kept }
    }

    /// A JSON object with pseudonyms in place of names.
    fn json(&self, kind: RecordKind, bytes: &[u8]) -> Vec<u8> {
        // What cannot be parsed cannot be made safe.
        let json = match kind {
            // The start was redacted before it became a record.
            RecordKind::Start => return bytes.to_vec(),
            RecordKind::Container => serde_json::from_slice(bytes).and_then(|container| {
                let container = self.container(container);
                serde_json::to_vec(&container)
            }),
            RecordKind::Rooms => serde_json::from_slice(bytes).and_then(|mut rooms: Rooms| {
                for path in rooms.groups.iter_mut().map(|group| &mut group.path).filter(|path| !path.is_empty()) {
                    *path = self.pseudonym(path.as_bytes());
                }
                serde_json::to_vec(&rooms)
            }),
            RecordKind::Held => serde_json::from_slice(bytes).and_then(|mut held: Held| {
                for path in [&mut held.file, &mut held.frozen].into_iter().filter(|path| !path.is_empty()) {
                    *path = self.pseudonym(path.as_bytes());
                }
                serde_json::to_vec(&held)
            }),
            _ => return Vec::new(),
        };
        json.unwrap_or_default()
    }

    fn container(&self, mut container: Container) -> Container {
        let Container { id, engine: _, name, image, pod, pod_namespace, stop_signal: _, pid_mode, uid: _, init: _ } =
            &mut container;
        for name in [Some(id), name.as_mut(), image.as_mut(), pod.as_mut(), pod_namespace.as_mut(), pid_mode.as_mut()] {
            if let Some(name) = name.filter(|name| *name != "host") {
                *name = self.pseudonym(name.as_bytes());
            }
        }
        container
    }

    /// The pseudonym of a process's name; a path that ends in the name gets the same one.
    fn name(&self, name: &[u8]) -> Comm {
        let name = &name[..name.len().min(15)];
        if name.is_empty() { Comm::default() } else { Comm::from(self.pseudonym(name).as_str()) }
    }

    fn pseudonym(&self, name: &[u8]) -> String {
        // 48 bits of SipHash: no two names of a machine will collide.
        format!("n{:012x}", self.key.hash_one(name) >> 16)
    }
}

/// What remains of the part that follows a record's fields.
struct Arguments {
    kept: Vec<u8>,
    /// Less than there was.
    is_cut: bool,
}

/// Writes a number into the field with that meaning.
fn set(layout: &Layout, record: &mut [u8], number: u16, is_it: impl Fn(Meaning) -> bool) {
    let Some(field) = layout.fields.iter().find(|field| is_it(field.meaning)) else { return };
    let Some(place) = record.get_mut(field.offset..) else { return };
    match field.form {
        Form::U16 => place.first_chunk_mut().map(|place| *place = number.to_ne_bytes()),
        Form::U32 => place.first_chunk_mut().map(|place| *place = u32::from(number).to_ne_bytes()),
        _ => None,
    };
}

/// Replaces the variable part of a record.
fn replace(record: &mut Vec<u8>, begin: usize, end: &[u8]) {
    record.truncate(begin);
    record.extend_from_slice(end);
    let length = (record.len() as u32).to_ne_bytes();
    record[offset_of!(Header, len)..][..length.len()].copy_from_slice(&length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Event, EventKind, Exec},
        host::{Engine, GroupRoom, OutOfMemory},
        ident::{Args, TaskRef, Trust},
        source::{decode::decode, encode::encode},
        story::key,
        time::BootNs,
    };

    fn redacted(what: Redact, kind: EventKind) -> EventKind {
        let mut record = Vec::new();
        encode(&Event { at: BootNs(1), cpu: 0, kind }, &mut record);
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

    fn exec(comm: &str, args: &'static [u8]) -> EventKind {
        let task = TaskRef { key: key(5), tid: 5 };
        let args = Args { bytes: args.into(), cut: false, trust: Trust::User(1_000) };
        EventKind::Exec(Box::new(Exec {
            task,
            comm: comm.into(),
            old_tid: 5,
            args,
            mount_ns: 77,
            ignored: Some(1 << 16),
        }))
    }

    #[test]
    fn an_exec_keeps_its_name_or_gets_a_pseudonym_that_its_path_shares() {
        let secret = exec("secret-program-", b"/opt/secret-program-x\0--secret\0");
        let EventKind::Exec(kept) = redacted(Redact::Argv, secret.clone()) else { panic!() };
        assert_eq!(
            (kept.comm.bytes(), &kept.args.bytes[..]),
            (&b"secret-program-"[..], &b"/opt/secret-program-x\0"[..])
        );
        assert!(kept.args.cut);
        assert_eq!((kept.args.trust, kept.mount_ns), (Trust::User(1_000), 77));

        let EventKind::Exec(named) = redacted(Redact::Names, secret) else { panic!() };
        assert_eq!(named.args.iter().collect::<Vec<_>>(), [named.comm.bytes()]);
        assert!(!format!("{named:?}").contains("secret"), "{named:?}");
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
            encode(&Event { at: BootNs(1), cpu: 0, kind }, &mut record);
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
    fn the_paths_of_control_groups_are_names() {
        let group = |path: &str| GroupRoom { path: path.to_owned(), ..GroupRoom::default() };
        let rooms = Rooms { groups: vec![group("/docker/secret"), group("")], ..Rooms::default() };
        let EventKind::Rooms(kept) = redacted(Redact::Names, EventKind::Rooms(Box::new(rooms.clone()))) else {
            panic!()
        };
        assert!(kept.groups[0].path.starts_with('n') && kept.groups[1].path.is_empty(), "{kept:?}");
        assert_eq!(
            redacted(Redact::Argv, EventKind::Rooms(Box::new(rooms.clone()))),
            EventKind::Rooms(Box::new(rooms))
        );
    }

    /// Fills each field that holds text, and fails for one that is not marked as a name.
    fn fill(layout: &Layout, bytes: &mut [u8]) {
        for field in layout.fields {
            match field.form {
                Form::Struct(inner) => fill(inner, &mut bytes[field.offset..]),
                Form::Text(count) => {
                    assert!(matches!(field.meaning, Meaning::Name), "{field:?}");
                    bytes[field.offset..][..count].copy_from_slice(&b"secret-secret-secret"[..count]);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn no_text_of_any_record_is_forgotten() {
        for kind in RecordKind::ALL {
            let Record { layout, rest, .. } = kind.record();
            let mut record = vec![0; layout.size];
            fill(layout, &mut record);
            record[offset_of!(Header, kind)] = *kind as u8;
            let text = match rest {
                Rest::Arguments | Rest::ArgumentsAnd(_) => "/bin/secret\0--secret\0",
                Rest::Name(_) => "secret",
                // A record that no reader understands is not kept. The start is redacted before it is a record.
                Rest::Json if *kind != RecordKind::Start => "{\"secret\": 1",
                Rest::Json | Rest::Nothing | Rest::Data(_) => "",
            };
            set(layout, &mut record, text.len() as u16, |meaning| matches!(meaning, Meaning::ArgumentsLength));
            record.extend_from_slice(text.as_bytes());
            Redactor::new(Some(Redact::Names)).redact(&mut record);
            assert!(!String::from_utf8_lossy(&record).contains("secret"), "{kind:?}: {record:?}");
        }
    }
}
