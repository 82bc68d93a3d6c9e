//! Sockets that never wait, used from several cores: readiness and watchers, ports that are held and shared, connections begun
//! without waiting, and data that leaves another core's stack while that core sleeps.
#![no_std]
#![no_main]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use toro::net::socket::tcp::{Connection, Listener, NO_TIMEOUT, TcpState};
use toro::net::socket::udp::{Socket, UdpOption};
use toro::net::socket::{Error, Port, Protocol, Readiness, Sharing, Watcher, flush};
use toro::net::{IpAddr, Ipv4Addr, SocketAddr};
use toro::prelude::*;
use toro::sync::Arc;
use toro::thread::{self, CoreId};

toro::main!(main);

fn main() {
    ports();
    for core in thread::cores() {
        thread::spawn_on(core, connections).join().expect("it goes well");
        thread::spawn_on(core, datagrams).join().expect("it goes well");
    }
    let home = Arc::new(bind(0, Sharing::default()).expect("a free port"));
    let listener = Arc::new(Listener::listen(&home, 16).expect("nobody else listens"));
    for core in thread::cores() {
        let listener = Arc::clone(&listener);
        let serve = move || serve_elsewhere(&listener, core);
        thread::spawn_on(core, serve).join().expect("it goes well");
    }
    println!("all is well");
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn bind(port: u16, sharing: Sharing) -> Result<Port, Error> {
    Port::reserve(Protocol::Tcp, (Ipv4Addr::UNSPECIFIED, port).into(), sharing)
}

/// Counts how often it was told, and wakes the thread that made it.
struct Told {
    thread: thread::Thread,
    count: AtomicUsize,
}

impl Told {
    fn new() -> Arc<Told> {
        Arc::new(Told { thread: thread::current(), count: AtomicUsize::new(0) })
    }

    fn wait_for(&self, mut done: impl FnMut() -> bool) {
        while !done() {
            thread::park();
        }
    }
}

impl Watcher for Told {
    fn changed(&self) {
        self.count.fetch_add(1, SeqCst);
        self.thread.unpark();
    }
}

fn ports() {
    let alone = Sharing::default();
    let reuse = Sharing { reuse_address: true, ..alone };
    let several = Sharing { reuse_port: true, ..alone };
    let port = bind(4000, alone).expect("a free port");
    assert_eq!(bind(4000, several).map(drop), Err(Error::AddressInUse));
    assert!(Port::reserve(Protocol::Udp, local(4000), alone).is_ok(), "datagrams have ports of their own");
    let nobodys = Port::reserve(Protocol::Tcp, (Ipv4Addr::new(10, 9, 8, 7), 1).into(), alone);
    assert_eq!(nobodys.map(drop), Err(Error::AddressNotAvailable));
    let picked = bind(0, alone).expect("a free port");
    assert_ne!(picked.address().port(), 0);
    // Held, but nobody listens.
    let connection = Connection::start(None, local(4000)).expect("it begins");
    let told = Told::new();
    connection.set_watcher(Some(told.clone())).expect("memory");
    told.wait_for(|| connection.finish_connect() != Err(Error::WouldBlock));
    assert_eq!(connection.take_error(), None, "it was told");
    assert_eq!(connection.info().expect("it exists").state, TcpState::Closed);
    let listener = Listener::listen(&port, 1).expect("nobody else listens");
    let client = Connection::start(Some(&picked), local(4000)).expect("it begins");
    client.set_watcher(Some(told.clone())).expect("memory");
    told.wait_for(|| client.finish_connect() == Ok(()));
    assert_eq!(client.ends().expect("it exists").0, local(picked.address().port()));
    assert_eq!(Connection::start(Some(&picked), local(4000)).map(drop), Err(Error::AddressNotAvailable));
    let (server, peer) = listener.accept(NO_TIMEOUT).expect("it was opened");
    assert_eq!(peer.port(), picked.address().port());
    // The connection outlives its listener, and keeps the port from those who do not reuse it.
    drop((listener, port));
    assert_eq!(bind(4000, alone).map(drop), Err(Error::AddressInUse));
    assert!(bind(4000, reuse).is_ok());
    server.reset();
    told.wait_for(|| client.readiness().hung_up);
    assert_eq!(client.try_read(&mut [0; 9]), Err(Error::ConnectionReset));
    assert_eq!(client.try_read(&mut [0; 9]), Ok(0));
    drop(client);
    assert!(bind(4000, alone).is_ok(), "what was reset leaves nothing behind");
}

/// A connection of this core with itself.
fn connections() {
    let port = bind(0, Sharing::default()).expect("a free port");
    let listener = Listener::listen(&port, 4).expect("nobody else listens");
    let told = Told::new();
    listener.set_watcher(Some(told.clone())).expect("memory");
    assert_eq!(listener.try_accept().map(drop), Err(Error::WouldBlock));
    let client = Connection::start(None, local(port.address().port())).expect("it begins");
    told.wait_for(|| listener.readiness().readable);
    let (server, _) = listener.try_accept().expect("readiness said so");
    server.set_watcher(Some(told.clone())).expect("memory");
    assert_eq!(server.readiness(), Readiness { writable: true, ..Readiness::default() });
    let mut written = 0;
    while let Ok(count) = client.try_write(&[7; 1000]) {
        written += count;
    }
    assert_eq!(client.unacknowledged_bytes(), written);
    assert!(!client.readiness().writable && client.unsent_bytes() > 0);
    client.set_watcher(Some(told.clone())).expect("memory");
    client.shutdown_write().expect("it is open");
    let mut read = 0;
    loop {
        let mut buffer = [0; 700];
        match server.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(Error::WouldBlock) => told.wait_for(|| server.readiness().readable),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read, written);
    assert!(server.readiness().peer_ended);
    client.drain(NO_TIMEOUT).expect("all was read");
    // Nobody watches any more: nobody is told.
    server.set_watcher(None).expect("nothing is needed for that");
    client.set_watcher(None).expect("nothing is needed for that");
    let before = told.count.load(SeqCst);
    drop(server);
    client.read(&mut [0; 9], NO_TIMEOUT).expect("the end");
    assert_eq!(told.count.load(SeqCst), before);
}

fn datagrams() {
    let hold = || Port::reserve(Protocol::Udp, (Ipv4Addr::LOCALHOST, 0).into(), Sharing::default());
    let (one, two) = (hold().expect("a free port"), hold().expect("a free port"));
    let [here, there] = [&one, &two].map(|port| Socket::open(port).expect("it is ours"));
    let told = Told::new();
    there.set_watcher(Some(told.clone())).expect("memory");
    assert_eq!(there.try_receive(&mut [0; 9], false).map(drop), Err(Error::WouldBlock));
    here.set(UdpOption::Hops(3)).expect("it is sound");
    here.try_send_to(b"datagram", None, two.address()).expect("there is room");
    told.wait_for(|| there.readiness().readable);
    let datagram = there.try_receive(&mut [0; 4], false).expect("readiness said so");
    assert_eq!((datagram.copied_bytes, datagram.bytes, datagram.source), (4, 8, one.address()));
    assert_eq!(datagram.destination, IpAddr::V4(Ipv4Addr::LOCALHOST));
    here.connect(Some(two.address())).expect("it can be");
    assert_eq!(here.peer(), Ok(two.address()));
    here.connect(None).expect("it can be");
    assert_eq!(here.peer(), Err(Error::NotConnected));
}

/// Accepts on core 0's listener, and speaks there while core 0 sleeps.
fn serve_elsewhere(listener: &Listener, core: CoreId) {
    let port = listener.address().expect("it exists").port();
    let asking = thread::spawn_on(CoreId::BOOT, move || {
        let client = Connection::start(None, local(port)).expect("it begins");
        let told = Told::new();
        client.set_watcher(Some(told.clone())).expect("memory");
        let mut answers = 0;
        for round in 0..20u8 {
            told.wait_for(|| client.try_write(&[round]) == Ok(1));
            let mut buffer = [0; 9];
            told.wait_for(|| client.try_peek(&mut buffer).is_ok());
            answers += client.try_read(&mut buffer).expect("it was there before");
        }
        answers
    });
    let told = Told::new();
    listener.set_watcher(Some(told.clone())).expect("memory");
    told.wait_for(|| listener.readiness().readable);
    let (server, _) = listener.try_accept().expect("readiness said so");
    server.set_watcher(Some(told.clone())).expect("memory");
    let mut heard = 0;
    loop {
        let mut question = [0; 1];
        told.wait_for(|| server.readiness().readable);
        match server.try_read_with(1, &mut |piece| {
            question[0] = piece[0];
            1
        }) {
            Ok(0) => break,
            Ok(_) => heard += 1,
            Err(error) => panic!("{error}"),
        }
        let answered = server.try_write_with(1, &mut |room| {
            room[0] = question[0];
            1
        });
        assert_eq!(answered, Ok(1));
        // As before a program in ring 3 goes on.
        flush();
    }
    assert_eq!((heard, thread::current_core()), (20, core));
    assert_eq!(asking.join().expect("it goes well"), 20);
}
