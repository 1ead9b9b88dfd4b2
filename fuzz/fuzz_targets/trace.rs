//! Any bytes as a trace, once as a file and once as a pipe: reader, source, and all that follows.
#![no_main]

use std::{
    cell::RefCell,
    io::{Cursor, Seek, Write},
    ops::ControlFlow,
};

use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;
use tracer::{source::trace::Trace, trace::reader::Reader};
use tracer_fuzz::Shown;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new_in("/dev/shm").expect("a temporary file"));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.as_file().set_len(0).expect("it can be emptied");
        file.rewind().and_then(|()| file.write_all(bytes)).expect("it can be written");
        if let Ok(mut trace) = Trace::open(file.path()) {
            let span = trace.span().expect("it can be read");
            play(&mut trace);
            if let Some((first, last)) = span {
                let mut trace = Trace::open(file.path()).expect("it could be before");
                if trace.seek(first + (last - first) / 2).is_ok() {
                    play(&mut trace);
                }
            }
        }
    });
    if let Ok(reader) = Reader::pipe(Box::new(Cursor::new(bytes.to_vec())))
        && let Ok(mut trace) = Trace::new(reader)
    {
        play(&mut trace);
    }
});

fn play(trace: &mut Trace) {
    Shown::default().play(|take| {
        let played = trace.play(|event, record| {
            take(event, record);
            Ok(ControlFlow::Continue(()))
        });
        played.expect("a file or a vector can be read");
    });
}
