//! Standard error without waiting for its reader: one that does not read must not delay a recording, or the end of the
//! command that is recorded.

use std::{
    fmt::Display,
    io::{self, Write},
    sync::{LazyLock, Mutex, PoisonError},
};

use anstream::{AutoStream, StripStream};

use crate::{
    console::{
        outlet::{Drain, Outlet},
        style::WARN,
    },
    ident::tame,
};

/// How many bytes may wait for a reader.
const ROOM: usize = 1 << 20;

/// `None` if no thread could be started: then a write may wait.
static OUTLET: LazyLock<Option<(Mutex<Outlet>, Drain)>> = LazyLock::new(|| {
    let mark = |lines: u64| format!("tracer: ({lines} lines are missing here: nobody read them in time)\n");
    let outlet = Outlet::new(rustix::stdio::stderr(), ROOM, mark).ok()?;
    let drain = outlet.drain();
    Some((Mutex::new(outlet), drain))
});

/// Writes lines, with their colours if the reader can see them. Ignores errors: there is nobody to report them to.
pub fn print(lines: impl Display) {
    let mut bytes = Vec::new();
    // Writing to memory cannot fail.
    let _ = match AutoStream::choice(&io::stderr()) {
        anstream::ColorChoice::Never => writeln!(StripStream::new(&mut bytes), "{lines}"),
        _ => writeln!(bytes, "{lines}"),
    };
    let _ = match &*OUTLET {
        Some((outlet, _)) => {
            let mut outlet = outlet.lock().unwrap_or_else(PoisonError::into_inner);
            outlet.write_all(&bytes).and_then(|()| outlet.flush())
        }
        None => io::stderr().write_all(&bytes),
    };
}

/// A sentence of `tracer` itself, made safe to show.
pub fn say(sentence: impl Display) {
    print(format_args!("{WARN}tracer:{WARN:#} {}", tame(&sentence.to_string())));
}

/// Waits until it is written, at most two seconds: used right before the end.
pub fn end() {
    if let Some((_, drain)) = &*OUTLET {
        drain.end_soon();
    }
}
