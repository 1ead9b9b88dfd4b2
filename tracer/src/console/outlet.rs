//! Output that never waits for its reader: a bounded queue that a thread of its own empties. Lines that find no room
//! are counted, and a mark stands in their place.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FileType, fstat},
    io::{Errno, retry_on_intr},
};

/// How many bytes may wait for a live command's reader: some 80,000 events.
pub const ROOM: usize = 16 << 20;
/// How long the end waits for a reader that takes nothing, once somebody has asked to end.
const STALLED: Duration = Duration::from_millis(500);
/// And for one that takes something.
const LONGEST: Duration = Duration::from_secs(2);
/// How often the end checks its progress.
const LOOK: Duration = Duration::from_millis(5);
/// How many bytes are collected before they enter the queue.
const BLOCK: usize = 64 << 10;
/// Bytes of one write(2) to a pipe. Such a write is atomic (PIPE_BUF, pipe(7)), so the lines that did not get through
/// can be counted.
const ATOMIC: usize = 4096;

/// The writing side. Each line is written whole or not at all.
pub struct Outlet {
    queue: Arc<Queue>,
    /// Lines that are not in the queue yet; the last one may be incomplete.
    pending: Vec<u8>,
}

/// The other handle: shows the progress, and ends the output.
#[derive(Clone)]
pub struct Drain(Arc<Queue>);

struct Queue {
    fd: BorrowedFd<'static>,
    /// The line that stands for so many missing ones.
    mark: Box<dyn Fn(u64) -> String + Send + Sync>,
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
}

struct State {
    blocks: VecDeque<Vec<u8>>,
    /// What the thread has taken, and not written yet.
    taken: usize,
    /// And its lines.
    taken_lines: u64,
    /// Bytes that wait, including those.
    waiting: usize,
    /// How many bytes may wait.
    room: usize,
    /// Bytes that were written.
    written: u64,
    /// There was no room; nothing is accepted until half of it is free.
    is_full: bool,
    /// Lines that found no room, in all and since the last mark.
    unwritten: u64,
    unmarked: u64,
    /// Why nothing can be written any more.
    failed: Option<Errno>,
}

impl Outlet {
    /// An output for which at most so many bytes wait. `mark` makes the line that stands for missing ones.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn new(
        fd: BorrowedFd<'static>,
        room: usize,
        mark: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let state = State {
            blocks: VecDeque::new(),
            taken: 0,
            taken_lines: 0,
            waiting: 0,
            room,
            written: 0,
            is_full: false,
            unwritten: 0,
            unmarked: 0,
            failed: None,
        };
        let queue = Queue { fd, mark: Box::new(mark), state: Mutex::new(state), filled: Condvar::new() };
        let queue = Arc::new(queue);
        let write = Arc::clone(&queue);
        // Blocks all signals in that thread: one would interrupt the write, or not reach the code that waits for it.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        let thread = thread::Builder::new().name("tracer-output".to_owned()).spawn(move || write.run());
        before.thread_set_mask()?;
        thread?;
        Ok(Self { queue, pending: Vec::new() })
    }

    /// The other handle.
    pub fn drain(&self) -> Drain {
        Drain(Arc::clone(&self.queue))
    }

    /// Puts the first bytes of what is pending into the queue.
    fn put(&mut self, length: usize) -> io::Result<()> {
        let rest = self.pending.split_off(length);
        let block = std::mem::replace(&mut self.pending, rest);
        self.queue.put(block)
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BLOCK
            && let Some(end) = self.pending.iter().rposition(|&byte| byte == b'\n')
        {
            self.put(end + 1)?;
        }
        Ok(bytes.len())
    }

    /// Puts everything into the queue. Fails with [`io::ErrorKind::BrokenPipe`] once nobody reads, even when there is
    /// nothing to write: see [`Stdout`](super::stdout::Stdout).
    fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.put(self.pending.len())?;
        }
        self.queue.look()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").field("fd", &self.queue.fd).finish_non_exhaustive()
    }
}

impl Drain {
    /// Lines that found no room so far.
    pub fn unwritten(&self) -> u64 {
        self.0.state().unwritten
    }

    /// From now on everything finds room: the summary.
    pub fn last_words(&self) {
        let mut state = self.0.state();
        (state.room, state.is_full) = (usize::MAX, false);
    }

    /// Waits until all has been written, however long that takes. Once `asked` resolves (`is_asked`: it already has),
    /// at most two seconds, and half a second for a reader that takes nothing. Returns how many lines were not written
    /// since the beginning. Needs the event loop.
    ///
    /// # Errors
    /// What write(2) said; [`io::ErrorKind::BrokenPipe`] if the reader has gone.
    pub async fn end(&self, asked: impl Future, is_asked: bool) -> io::Result<u64> {
        tokio::pin!(asked);
        let now = Instant::now();
        let mut asked_at = is_asked.then_some(now);
        let mut progress = (0, now);
        loop {
            let State { waiting, written, failed, .. } = *self.0.state();
            if let Some(failed) = failed {
                return Err(failed.into());
            }
            if progress.0 != written {
                progress = (written, Instant::now());
            }
            let is_late = asked_at.is_some_and(|at| {
                at.elapsed() >= LONGEST || (at.elapsed() >= STALLED && progress.1.elapsed() >= STALLED)
            });
            if waiting == 0 || is_late {
                return Ok(self.0.give_up());
            }
            tokio::select! {
                biased;
                _ = &mut asked, if asked_at.is_none() => asked_at = Some(Instant::now()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Waits until all has been written, at most two seconds. Needs no event loop.
    pub fn end_soon(&self) {
        let began = Instant::now();
        while began.elapsed() < LONGEST {
            let State { waiting, failed, .. } = *self.0.state();
            if waiting == 0 || failed.is_some() {
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

impl Queue {
    /// Nobody panics while holding the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, block: Vec<u8>) -> io::Result<()> {
        let mut state = self.state();
        if let Some(failed) = state.failed {
            return Err(failed.into());
        }
        if state.is_full && state.waiting <= state.room / 2 {
            state.is_full = false;
        }
        if state.is_full || state.waiting.saturating_add(block.len()) > state.room {
            state.is_full = true;
            let lines = lines(&block);
            state.unwritten += lines;
            state.unmarked += lines;
            return Ok(());
        }
        if state.unmarked > 0 {
            let missing = std::mem::take(&mut state.unmarked);
            state.push((self.mark)(missing).into_bytes());
        }
        state.push(block);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Whether somebody still reads.
    fn look(&self) -> io::Result<()> {
        if let Some(failed) = self.state().failed {
            return Err(failed.into());
        }
        is_read(self.fd)
    }

    /// Lines that were not written: those that found no room, and those that still wait.
    fn give_up(&self) -> u64 {
        let state = self.state();
        let waiting: u64 = state.blocks.iter().map(|block| lines(block)).sum();
        state.unwritten + waiting + state.taken_lines
    }

    /// The thread's loop.
    fn run(&self) {
        // Ensures that the count of missing lines is right.
        let is_pipe = fstat(self.fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
        let most = if is_pipe { ATOMIC } else { usize::MAX };
        loop {
            let block = self.take();
            let mut rest = &block[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(most));
                let written = match rustix::io::write(self.fd, piece) {
                    Ok(written) => written,
                    Err(Errno::INTR) => continue,
                    // Somebody made the open file non-blocking, for everybody who shares it.
                    Err(Errno::AGAIN) => {
                        let _ = poll(&mut [PollFd::from_borrowed_fd(self.fd, PollFlags::OUT)], None);
                        continue;
                    }
                    Err(error) => return self.fail(error),
                };
                let done = lines(&piece[..written]);
                rest = if written == piece.len() { after } else { &rest[written..] };
                let mut state = self.state();
                state.taken -= written;
                state.taken_lines -= done;
                state.waiting -= written;
                state.written += written as u64;
            }
        }
    }

    fn take(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            if let Some(block) = state.blocks.pop_front() {
                (state.taken, state.taken_lines) = (block.len(), lines(&block));
                return block;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, error: Errno) {
        let mut state = self.state();
        state.failed = Some(error);
        state.blocks.clear();
    }
}

impl State {
    fn push(&mut self, block: Vec<u8>) {
        self.waiting += block.len();
        self.blocks.push_back(block);
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Whether somebody reads at the other end, without waiting.
///
/// # Errors
/// [`io::ErrorKind::BrokenPipe`] if not: poll(2) reports an error on the writing end of a pipe when the
/// last reader has gone.
pub(super) fn is_read(fd: impl AsFd) -> io::Result<()> {
    let mut fds = [PollFd::new(&fd, PollFlags::empty())];
    // A pending signal interrupts even a poll with no timeout: the Ctrl-C that is to end the command in order.
    retry_on_intr(|| poll(&mut fds, Some(&Timespec::default())))?;
    if fds[0].revents().contains(PollFlags::ERR) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, io::Read, os::fd::OwnedFd};

    use rustix::pipe::{fcntl_setpipe_size, pipe};

    use super::*;

    /// An outlet into a small pipe, and the reading end.
    fn outlet(room: usize) -> (Outlet, std::fs::File) {
        let (read, write) = pipe().unwrap();
        fcntl_setpipe_size(&write, ATOMIC).unwrap();
        // For good: the thread outlives the test.
        let write: &'static OwnedFd = Box::leak(Box::new(write));
        (Outlet::new(write.as_fd(), room, |lines| format!("({lines})\n")).unwrap(), read.into())
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Lines with their number.
    fn write(outlet: &mut Outlet, lines: std::ops::Range<u32>) {
        for line in lines {
            writeln!(outlet, "{line:07}").unwrap();
            outlet.flush().unwrap();
        }
    }

    #[test]
    fn what_nobody_reads_is_counted_and_said_where_it_is_missing() {
        let (mut outlet, mut read) = outlet(8_000);
        let drain = outlet.drain();
        write(&mut outlet, 0..10_000);
        let missing = drain.unwritten();
        assert!(missing > 8_000, "{missing}");
        // Then somebody reads, until there is room again.
        let (mut text, mut bytes) = (String::new(), [0; 512]);
        while drain.0.state().waiting > 2_000 {
            let n = read.read(&mut bytes).unwrap();
            text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        }
        write(&mut outlet, 10_000..10_001);
        let rest = thread::spawn(move || {
            while !text.ends_with("0010000\n") {
                let n = read.read(&mut bytes).unwrap();
                text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
            }
            text
        });
        let unwritten = block_on(drain.end(pending::<()>(), false)).unwrap();
        assert_eq!(unwritten, missing);
        // The queue may have had room in between, so lines can be missing in several places.
        let text = rest.join().unwrap();
        let counted = text.lines().filter_map(|line| line.strip_prefix('(')?.strip_suffix(')')?.parse::<u64>().ok());
        assert_eq!(counted.sum::<u64>(), missing);
        assert!(text.ends_with(")\n0010000\n"), "the last of them right before what found room again");
    }

    #[test]
    fn nothing_is_lost_on_a_slow_reader_that_is_waited_for() {
        let (mut outlet, mut read) = outlet(usize::MAX);
        write(&mut outlet, 0..5_000);
        let reader = thread::spawn(move || {
            let (mut text, mut bytes) = (String::new(), [0; 700]);
            while text.len() < 5_000 * 8 {
                let n = read.read(&mut bytes).unwrap();
                text.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
            }
            text
        });
        assert_eq!(block_on(outlet.drain().end(pending::<()>(), false)).unwrap(), 0);
        let want: String = (0..5_000).map(|line| format!("{line:07}\n")).collect();
        assert_eq!(reader.join().unwrap(), want);
    }

    #[test]
    fn the_end_does_not_wait_for_who_does_not_read_once_asked() {
        let (mut outlet, read) = outlet(usize::MAX);
        write(&mut outlet, 0..5_000);
        let drain = outlet.drain();
        assert_eq!(block_on(drain.end(async {}, false)).unwrap(), 5_000 - 512, "a page of a pipe came through");
        drop(read);
    }

    #[test]
    fn last_words_find_room_in_any_case() {
        let (mut outlet, _read) = outlet(4_096);
        write(&mut outlet, 0..5_000);
        let (drain, queue) = (outlet.drain(), Arc::clone(&outlet.queue));
        let missing = drain.unwritten();
        drain.last_words();
        write(&mut outlet, 5_000..5_001);
        assert_eq!(drain.unwritten(), missing);
        assert_eq!(queue.state().blocks.back().unwrap(), b"0005000\n");
    }

    #[test]
    fn a_reader_that_goes_is_noticed_also_while_there_is_nothing_to_say() {
        let (mut outlet, read) = outlet(4_096);
        outlet.flush().unwrap();
        drop(read);
        assert_eq!(outlet.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_line_comes_whole_or_not_at_all() {
        let (mut outlet, _read) = outlet(BLOCK + 10);
        for _ in 0..BLOCK / 10 * 3 {
            // In two parts, as a buffer before it hands them on.
            outlet.write_all(b"0123").unwrap();
            outlet.write_all(b"45678\n").unwrap();
        }
        let state = outlet.queue.state();
        assert!(state.unwritten > 0);
        for block in &state.blocks {
            assert!(block.ends_with(b"\n") && block.len() % 10 == 0);
        }
    }
}
