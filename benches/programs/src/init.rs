//! The first program of a Linux guest: loads drivers, sets the address, and becomes the server.
//!
//! Static and alone in the initial RAM disk beside the server, so that Linux has nothing to do that a unikernel has not.
#![expect(unsafe_code, reason = "the network address is set by ioctl, for which there is no safe wrapper")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;

use rustix::process::{Resource, Rlimit};

const SERVER: &str = "/server";

fn main() {
    // Whoever measures sees where the kernel is done.
    println!("LINUX-INIT");
    let error = match load_modules().and_then(|()| set_address()).and_then(|()| allow_files()) {
        Ok(()) => std::process::Command::new(SERVER).args(std::env::args().skip(1)).exec(),
        Err(error) => error,
    };
    // Nobody sees an exit status in there: say it on the console and stay, so that the bench can show it.
    println!("init: {error}");
    loop {
        std::thread::park();
    }
}

/// A server of ten thousand connections has as many files; Linux begins with room for 1024.
fn allow_files() -> io::Result<()> {
    let most = Some(1 << 20);
    Ok(rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
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
    // The kernel passes on what it does not know.
    let told = std::env::var("TORO_IP").ok().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok());
    request.address(told.map_or([10, 0, 2, 15], |address| address.octets()));
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
    request.send(&socket, libc::SIOCSIFFLAGS)?;
    match std::env::var("TORO_GATEWAY").ok().and_then(|text| text.parse::<std::net::Ipv4Addr>().ok()) {
        Some(gateway) => set_gateway(&socket, gateway.octets()),
        None => Ok(()),
    }
}

/// Where everybody else is.
fn set_gateway(socket: &impl AsRawFd, gateway: [u8; 4]) -> io::Result<()> {
    // SAFETY: `rtentry` is integers and pointers, for which zero is a value.
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    (route.rt_dst, route.rt_genmask, route.rt_gateway) = (internet([0; 4]), internet([0; 4]), internet(gateway));
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: the call reads one `rtentry`, and the descriptor is open.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT, &raw mut route) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn internet(address: [u8; 4]) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..].iter_mut().zip(address) {
        *to = from as libc::c_char;
    }
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data }
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
        self.0.ifr_ifru.ifru_addr = internet(address);
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
