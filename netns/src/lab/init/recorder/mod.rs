//! Records what instances write: each has a pipe for standard output and error, and one thread copies all pipes to the logs.
//!
//! Whoever writes faster than the disk takes it in waits, as Docker lets it wait; so no log can outgrow its bound. The thread is
//! woken by what is written and by nothing else. It takes in at once what has come together within 10 ms, since a line at a time
//! would cost it a wake-up a line.

mod desk;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use tokio::sync::oneshot;

use super::disk::Disk;
use crate::lab::logs;
use desk::Desk;

/// Cheap to clone; all clones are one. The thread ends with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    orders: Sender<Order>,
    bell: Arc<UnixStream>,
    numbers: Arc<AtomicU64>,
    disk_full: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Order {
    Record {
        number: u64,
        pipe: File,
        log: PathBuf,
        end: File,
    },
    CatchUp {
        number: u64,
        done: oneshot::Sender<()>,
    },
}

/// That a pipe is recorded.
#[derive(Debug)]
pub(super) struct Recording {
    recorder: Recorder,
    number: u64,
}

impl Recorder {
    /// Starts the thread.
    pub(super) fn start(disk: Disk) -> io::Result<Self> {
        let (bell, rung) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rung.set_nonblocking(true)?;
        let (orders, taken) = mpsc::channel();
        let disk_full = Arc::new(AtomicBool::new(false));
        let desk = Desk::new(taken, rung, disk, Arc::clone(&disk_full));
        thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || {
                if let Err(error) = desk.run() {
                    tracing::error!(%error, "logs are not written any more");
                }
            })?;
        Ok(Self {
            orders,
            bell: Arc::new(bell),
            numbers: Arc::default(),
            disk_full,
        })
    }

    /// A pipe to write to, whose other end is recorded in that log until nobody can write to it any more.
    pub(super) fn record(&self, log: &Path) -> io::Result<(OwnedFd, Recording)> {
        let end = logs::open(log)?;
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.order(Order::Record {
            number,
            pipe: reader.into(),
            log: log.to_owned(),
            end,
        });
        let recorder = self.clone();
        Ok((writer, Recording { recorder, number }))
    }

    /// Whether there was no room for logs when it was last looked.
    pub(super) fn is_disk_full(&self) -> bool {
        self.disk_full.load(Ordering::Relaxed)
    }

    fn order(&self, order: Order) {
        let _ = self.orders.send(order); // without its thread the pipe closes, and whoever waits hears of it
        let _ = (&*self.bell).write(&[0]); // where there is no room for it, it rings already
    }
}

impl Recording {
    /// Waits until everything that had been written when this was called is in the log.
    pub(super) async fn catch_up(&self) {
        let (done, caught_up) = oneshot::channel();
        let number = self.number;
        self.recorder.order(Order::CatchUp { number, done });
        let _ = caught_up.await; // an error: nothing is recorded any more
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn recorder(folder: &Path) -> Recorder {
        Recorder::start(Disk::new(folder.to_owned())).unwrap()
    }

    #[tokio::test]
    async fn last_words_are_in_the_log_when_it_has_caught_up() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(folder.path());
        let log = folder.path().join("a.log");
        let mut said = String::new();
        for number in 0..100 {
            let (pipe, recording) = recorder.record(&log).unwrap();
            let mut pipe = File::from(pipe);
            writeln!(pipe, "word {number}").unwrap();
            // Even where somebody could still write.
            let _held = (number % 2 == 0).then(|| pipe.try_clone().unwrap());
            drop(pipe);
            recording.catch_up().await;
            said.push_str(&format!("word {number}\n"));
            assert_eq!(fs::read_to_string(&log).unwrap(), said);
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_what_is_recorded_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = recorder(folder.path());
        let (pipe, recording) = recorder.record(&folder.path().join("a.log")).unwrap();
        drop(pipe);
        recording.catch_up().await;
        recording.catch_up().await;
    }
}
