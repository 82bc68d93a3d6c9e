//! The VMM process: started by a thread that stays with it, so that neither outlives the other.
//!
//! The kernel ends the child when the *thread* that started it ends (`PR_SET_PDEATHSIG`): a tool that is killed leaves no
//! machine behind, and a caller may still start a guest on one thread and drop it on another. [`Cancel`] ends a child that is
//! still becoming a guest.
//! A tool that is killed leaves no cargo behind either ([`end_with_caller`]).
#![expect(unsafe_code, reason = "pre_exec runs a closure between fork and exec")]

use rustix::io::FdFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

/// A running child; its exit is told to the closure given to [`spawn`].
#[derive(Debug)]
pub(crate) struct Child {
    /// Names the process for good: a pid could be reused, this cannot.
    pidfd: Arc<OwnedFd>,
    pub(crate) pid: u32,
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Cancels the start of a guest, from another thread: a VMM that is ended answers nobody, so nobody waits for it.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    starting: Arc<(Mutex<Starting>, Condvar)>,
    limit: Option<Duration>,
}

#[derive(Debug, Default)]
struct Starting {
    is_cancelled: bool,
    child: Option<Arc<OwnedFd>>,
}

impl Cancel {
    /// One that nobody has used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that cancels a start by itself when it takes longer.
    pub fn after(limit: Duration) -> Self {
        Self { limit: Some(limit), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Starting> {
        self.starting.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels a start that is under way or yet to come; nothing happens to a guest that has been started.
    pub fn cancel(&self) {
        let mut starting = self.lock();
        starting.is_cancelled = true;
        starting.child.iter().for_each(|pidfd| kill(pidfd));
    }

    /// Whether somebody, or the time limit, has cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.lock().is_cancelled
    }

    /// Ends `child` when the start is cancelled, until what this returns is dropped.
    pub(crate) fn watch(&self, child: &Child) -> io::Result<Watch<'_>> {
        let watch = Watch(self);
        let mut starting = self.lock();
        starting.child = Some(child.pidfd.clone());
        if starting.is_cancelled {
            child.kill();
        }
        drop(starting);
        let Some(limit) = self.limit else { return Ok(watch) };
        let cancel = self.clone();
        let wait = move || {
            let is_under_way = |starting: &mut Starting| starting.child.is_some();
            let waited = cancel.starting.1.wait_timeout_while(cancel.lock(), limit, is_under_way);
            let (starting, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if starting.child.is_some() {
                drop(starting);
                cancel.cancel();
            }
        };
        std::thread::Builder::new().name("start-limit".into()).spawn(wait).map(|_| watch)
    }
}

/// Lasts as long as a start that can be cancelled, however it comes out.
pub(crate) struct Watch<'a>(&'a Cancel);

impl Watch<'_> {
    /// The start is over; whether it was cancelled.
    pub(crate) fn end(self) -> bool {
        let cancel = self.0;
        // First, so that whoever cancels it later finds nothing to end.
        drop(self);
        cancel.is_cancelled()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.lock().child = None;
        self.0.starting.1.notify_all();
    }
}

fn kill(pidfd: &OwnedFd) {
    match rustix::process::pidfd_send_signal(pidfd, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => debug_assert!(false, "pidfd_send_signal: {error}"),
    }
}

/// The child's ends of its three streams.
pub(crate) struct Pipes {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
}

impl Child {
    /// Ends it at once; nothing happens when it has ended already.
    pub(crate) fn kill(&self) {
        kill(&self.pidfd);
    }
}

/// Starts `command` with pipes; `on_exit` hears how it ended. The child has the descriptor `given` under the number that it has
/// here, where it is closed.
pub(crate) fn spawn(
    mut command: Command,
    given: OwnedFd,
    on_exit: impl FnOnce(io::Result<ExitStatus>) + Send + 'static,
) -> io::Result<(Child, Pipes)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Its own process group: Ctrl-C on the terminal is for the tool, which asks the guest to stop in order.
    command.process_group(0);
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(rustix::io::fcntl_setfd(&given, FdFlags::empty())?)
    };
    // SAFETY: the closure only makes two system calls and allocates nothing, as between fork and exec it must.
    unsafe {
        command.pre_exec(prepare);
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new().name("vmm".into()).spawn(move || {
        let started = command.spawn();
        drop(command); // and with it what was given: when the child ends, nobody has it
        let started = started.and_then(|mut child| {
            let pidfd = Pid::from_raw(child.id() as i32)
                .ok_or_else(|| io::Error::other("no pid"))
                .and_then(|pid| Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?));
            let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
            match (pidfd, pipes) {
                (Ok(pidfd), (Some(stdin), Some(stdout), Some(stderr))) => {
                    let running = Child { pidfd: Arc::new(pidfd), pid: child.id() };
                    Ok((child, running, Pipes { stdin, stdout, stderr }))
                }
                (pidfd, _) => {
                    child.kill()?;
                    child.wait()?;
                    Err(pidfd.err().unwrap_or_else(|| io::Error::other("no pipes")))
                }
            }
        });
        match started {
            Err(error) => drop(sender.send(Err(error))),
            Ok((mut child, running, pipes)) => {
                drop(sender.send(Ok((running, pipes))));
                on_exit(child.wait());
            }
        }
    })?;
    receiver.recv().map_err(|_| io::Error::other("the thread that starts it ended"))?
}

/// Has the kernel end `command`'s process, in order, when the thread that starts it ends.
pub(crate) fn end_with_caller(command: &mut Command) {
    let prepare = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: the closure only makes a system call and allocates nothing, as between fork and exec it must.
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn a_start_is_cancelled_only_until_it_is_over() {
        for is_over in [true, false] {
            let null = std::fs::File::open("/dev/null").unwrap();
            let (child, mut pipes) = spawn(Command::new("cat"), null.into(), drop).unwrap();
            let cancel = Cancel::after(Duration::MAX);
            let watch = cancel.watch(&child).unwrap();
            if is_over {
                drop(watch);
                cancel.cancel();
            } else {
                cancel.cancel();
                assert!(watch.end());
            }
            // One that was killed may still take it, and says nothing.
            let _taken = pipes.stdin.write_all(b"alive");
            drop(pipes.stdin);
            let mut said = String::new();
            pipes.stdout.read_to_string(&mut said).unwrap();
            assert_eq!(said == "alive", is_over, "{said}");
        }
    }
}
