//! The thread: waits for bytes and orders, copies, looks at the disk.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Order;
use crate::lab::clock::{Clock, unix_ns};
use crate::lab::init::disk::Disk;
use crate::lab::logs::{self, Sink};

/// How long it waits for more before it looks again, unless there is much already.
const PACE: Duration = Duration::from_millis(10);
/// Bytes read at once: what a pipe holds (`pipe(7)`).
const PIPE: usize = 64 * 1024;
/// Bytes copied of one pipe before it is the next one's turn.
const TURN: usize = 16 * PIPE;
/// How often the disk is looked at while something is written.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The thread's own.
pub(super) struct Desk {
    orders: Receiver<Order>,
    rung: UnixStream,
    pipes: Vec<Pipe>,
    /// Starts of an instance share its log.
    sinks: BTreeMap<PathBuf, Sink>,
    buffer: Vec<u8>,
    disk: Disk,
    disk_full: Arc<AtomicBool>,
    clock: Clock,
    /// When the disk is to be looked at.
    look_at: Option<Duration>,
}

struct Pipe {
    number: u64,
    file: File,
    log: PathBuf,
    has_ended: bool,
}

impl Desk {
    pub(super) fn new(
        orders: Receiver<Order>,
        rung: UnixStream,
        disk: Disk,
        disk_full: Arc<AtomicBool>,
    ) -> Self {
        Self {
            orders,
            rung,
            pipes: Vec::new(),
            sinks: BTreeMap::new(),
            buffer: vec![0; PIPE],
            disk,
            disk_full,
            clock: Clock::start(),
            look_at: None,
        }
    }

    /// Copies until nobody is left who could order anything.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let pipes = self.pipes.iter().map(|pipe| &pipe.file);
            let ready = readable(&self.rung, pipes, self.next_look())?;
            if !self.hear() {
                return Ok(());
            }
            let mut most = 0;
            for index in ready {
                most = most.max(self.copy(index));
            }
            self.pipes.retain(|pipe| !pipe.has_ended);
            self.sinks
                .retain(|log, _| self.pipes.iter().any(|pipe| pipe.log == *log));
            self.look(most > 0);
            if (1..PIPE / 2).contains(&most) {
                readable(&self.rung, [], Some(PACE))?; // an order ends the pause
            }
        }
    }

    /// Takes in what was ordered; tells whether anybody is left to order.
    fn hear(&mut self) -> bool {
        while let Ok(1..) = (&self.rung).read(&mut [0; 64]) {}
        loop {
            match self.orders.try_recv() {
                Ok(Order::Record {
                    number,
                    pipe,
                    log,
                    end,
                }) => self.begin(number, pipe, log, end),
                Ok(Order::CatchUp { number, done }) => {
                    // One that is not there has ended.
                    if let Some(index) = self.pipes.iter().position(|pipe| pipe.number == number) {
                        self.copy(index);
                    }
                    let _ = done.send(()); // who asked may be gone
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn begin(&mut self, number: u64, file: File, log: PathBuf, end: File) {
        match self.sinks.entry(log.clone()) {
            Entry::Occupied(mut sink) => sink.get_mut().resume(end),
            Entry::Vacant(entry) => drop(entry.insert(Sink::new(&log, end, logs::LIMIT))),
        }
        self.pipes.push(Pipe {
            number,
            file,
            log,
            has_ended: false,
        });
    }

    /// Copies what the pipe holds, at most [`TURN`] bytes; tells how many.
    fn copy(&mut self, index: usize) -> usize {
        let pipe = &mut self.pipes[index];
        let Some(sink) = self.sinks.get_mut(&pipe.log) else {
            return 0; // cannot be: it comes and goes with its pipes
        };
        let mut copied = 0;
        while copied < TURN && !pipe.has_ended {
            match pipe.file.read(&mut self.buffer) {
                Ok(0) => pipe.has_ended = true,
                Ok(read) => {
                    sink.write(&self.buffer[..read], unix_ns());
                    copied += read;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::error!(%error, log = %pipe.log.display(), "a log ends here");
                    pipe.has_ended = true;
                }
            }
        }
        copied
    }

    /// How long until the disk is to be looked at, if it is.
    fn next_look(&self) -> Option<Duration> {
        let at = self.look_at?;
        Some(at.saturating_sub(self.clock.now()))
    }

    /// Looks at the disk, some time after something was written, and for as long as it is full.
    fn look(&mut self, has_written: bool) {
        let now = self.clock.now();
        if self.look_at.is_some_and(|at| at <= now) {
            self.disk.look();
            self.disk_full.store(self.disk.is_full(), Ordering::Relaxed);
            self.look_at = None;
        }
        if self.look_at.is_none() && (has_written || self.disk.is_full()) {
            self.look_at = Some(now + LOOK_EVERY);
        }
    }
}

/// Waits until the bell rings, one of the pipes can be read or has ended, or the time is over: which of the pipes.
fn readable<'a>(
    rung: &UnixStream,
    pipes: impl IntoIterator<Item = &'a File>,
    timeout: Option<Duration>,
) -> io::Result<Vec<usize>> {
    let mut fds = vec![PollFd::new(rung.as_fd(), PollFlags::POLLIN)];
    fds.extend(
        pipes
            .into_iter()
            .map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)),
    );
    // Rounded up: a look too early would be one for nothing, again and again.
    let timeout = timeout.map_or(PollTimeout::NONE, |left| {
        let whole = u16::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        PollTimeout::from(whole)
    });
    match poll(&mut fds, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    }
    let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
    Ok((fds.iter().skip(1).enumerate())
        .filter(|(_, fd)| is_ready(fd))
        .map(|(index, _)| index)
        .collect())
}
