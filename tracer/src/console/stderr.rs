//! Standard error that nobody must wait for: who does not read it must not keep a recording, or the end
//! of the command that is recorded, from going on.

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

/// Bytes that wait for a reader at the most.
const ROOM: usize = 1 << 20;

/// None if there can be no thread: then a write may wait.
static OUTLET: LazyLock<Option<(Mutex<Outlet>, Drain)>> = LazyLock::new(|| {
    let mark = |lines: u64| format!("tracer: ({lines} lines are missing here: nobody read them in time)\n");
    let outlet = Outlet::new(rustix::stdio::stderr(), ROOM, mark).ok()?;
    let drain = outlet.drain();
    Some((Mutex::new(outlet), drain))
});

/// Writes lines, with their colours where the reader sees them. If standard error is gone there is nobody
/// to tell.
pub fn print(lines: impl Display) {
    let mut bytes = Vec::new();
    // Neither fails: it is memory.
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

/// A sentence of `tracer` itself, tamed.
pub fn say(sentence: impl Display) {
    print(format_args!("{WARN}tracer:{WARN:#} {}", tame(&sentence.to_string())));
}

/// Waits until it is written, for two seconds at the most: right before the end.
pub fn end() {
    if let Some((_, drain)) = &*OUTLET {
        drain.end_soon();
    }
}
