//! Starts this program again, as the process that stays with a guest, and gives it nothing but a connection to this one.
#![expect(unsafe_code, reason = "files that whoever started us left open have nothing but numbers")]

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use toro_vmm::Accelerator;

/// Starts it, with what executes its guest decided; the connection is its standard input.
pub(crate) fn spawn(accelerator: Accelerator) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    keep_files()?;
    let child = Command::new("/proc/self/exe")
        .args(["run", "--in-background", accelerator.name()])
        .args(std::env::args_os().skip(2))
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// Files beyond the three streams end with this process: a pipe or a lock of the user's shell must not wait for the guest.
fn keep_files() -> io::Result<()> {
    for file in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = file?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if number > 2 {
            // SAFETY: it is only asked about and marked; one that was closed meanwhile, as the folder's own, is an error.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            if let Ok(flags) = fcntl_getfd(fd) {
                fcntl_setfd(fd, flags | FdFlags::CLOEXEC)?;
            }
        }
    }
    Ok(())
}
