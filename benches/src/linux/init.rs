//! The only program of the Linux guest: loads the network driver, sets the address, serves HTTP.
//!
//! Static and alone in the initial RAM disk, so that Linux has nothing to do that a unikernel has not.
//! One thread and epoll, as a fast Linux server would be written.
#![expect(unsafe_code, reason = "the network address is set by ioctl, for which there is no safe wrapper")]

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// The page that Toro's `http_server` answers with, so that both copy and sum the same bytes.
const PAGE: &[u8] = include_bytes!("../../../guest/examples/http_server/site/index.html");
const LISTENER: u64 = u64::MAX;

fn main() {
    // Nobody sees an exit status in there: say it on the console and stay, so that the bench can show it.
    if let Err(error) = load_modules().and_then(|()| set_address()).and_then(|()| serve()) {
        println!("init: {error}");
    }
    loop {
        std::thread::park();
    }
}

fn load_modules() -> io::Result<()> {
    let list = std::fs::read_to_string("/modules")?;
    for name in list.lines() {
        let module = std::fs::File::open(name)?;
        match rustix::system::finit_module(&module, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(io::Error::other(format!("{name}: {error}"))),
        }
    }
    Ok(())
}

fn set_address() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut request = Request::new();
    request.address([10, 0, 2, 15]);
    // The device may appear a moment after its module.
    let appeared = (0..400).any(|_| {
        let set = request.send(&socket, libc::SIOCSIFADDR).is_ok();
        if !set {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        set
    });
    if !appeared {
        return Err(io::Error::other("no eth0"));
    }
    request.address([255, 255, 255, 0]);
    request.send(&socket, libc::SIOCSIFNETMASK)?;
    request.flags(libc::IFF_UP as libc::c_short | libc::IFF_RUNNING as libc::c_short);
    request.send(&socket, libc::SIOCSIFFLAGS)
}

/// An interface request for eth0.
struct Request(libc::ifreq);

impl Request {
    fn new() -> Request {
        // SAFETY: `ifreq` is integers and bytes, for which zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, &from) in request.ifr_name.iter_mut().zip(b"eth0") {
            *to = from as libc::c_char;
        }
        Request(request)
    }

    fn address(&mut self, address: [u8; 4]) {
        let mut data = [0; 14];
        for (to, from) in data[2..].iter_mut().zip(address) {
            *to = from as libc::c_char;
        }
        self.0.ifr_ifru.ifru_addr = libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data };
    }

    fn flags(&mut self, flags: libc::c_short) {
        self.0.ifr_ifru.ifru_flags = flags;
    }

    fn send(&mut self, socket: &impl AsRawFd, call: libc::Ioctl) -> io::Result<()> {
        // SAFETY: each call used reads one `ifreq`, and the descriptor is open.
        match unsafe { libc::ioctl(socket.as_raw_fd(), call, &raw mut self.0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:80")?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    println!("LINUX-READY");
    let answers = ["", "Connection: close\r\n"].map(response);
    let mut connections: HashMap<u64, (TcpStream, Vec<u8>)> = HashMap::new();
    let mut events: Vec<Event> = Vec::with_capacity(64);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let key = event.data.u64();
            if key == LISTENER {
                accept(&listener, poll.as_fd(), &mut connections)?;
            } else if let Some((stream, input)) = connections.get_mut(&key)
                && !answer(stream, input, &answers)
            {
                connections.remove(&key);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: std::os::fd::BorrowedFd<'_>,
    connections: &mut HashMap<u64, (TcpStream, Vec<u8>)>,
) -> io::Result<()> {
    while let Ok((stream, _)) = listener.accept() {
        stream.set_nonblocking(true)?;
        let key = stream.as_raw_fd() as u64;
        epoll::add(poll, &stream, EventData::new_u64(key), EventFlags::IN)?;
        connections.insert(key, (stream, Vec::with_capacity(1024)));
    }
    Ok(())
}

fn response(connection: &str) -> Vec<u8> {
    let length = PAGE.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {length}\r\n{connection}\r\n"
    );
    [head.as_bytes(), PAGE].concat()
}

/// Answers what can be read; false when the connection is over.
fn answer(stream: &mut TcpStream, input: &mut Vec<u8>, answers: &[Vec<u8>; 2]) -> bool {
    let mut chunk = [0; 2048];
    match stream.read(&mut chunk) {
        Ok(0) => return false,
        Ok(read) => input.extend_from_slice(&chunk[..read]),
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    }
    while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
        let close = input[..end].windows(17).any(|window| window == b"Connection: close");
        input.drain(..end + 4);
        // Answers are far smaller than the socket buffer: a short write means that the client is gone.
        if stream.write_all(&answers[usize::from(close)]).is_err() || close {
            return false;
        }
    }
    true
}
