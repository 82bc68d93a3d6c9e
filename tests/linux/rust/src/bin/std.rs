//! What the standard library asks of a system: threads, panics, files, sockets, time, and how a program ends. The argument
//! names an end; without one all the rest is done.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("panic") => panic!("on purpose"),
        Some("exit") => std::process::exit(42),
        Some("abort") => std::process::abort(),
        Some("overflow") => println!("{}", endless(1)),
        Some("thread-panic") => {
            let result = thread::Builder::new()
                .name("named".into())
                .spawn(|| panic!("in a thread"))
                .map(thread::JoinHandle::join);
            println!("joined: {}", result.is_ok_and(|joined| joined.is_err()));
        }
        Some("error") => {
            if let Err(error) = std::fs::read("missing") {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        _ => all().expect("everything works"),
    }
}

fn endless(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 100]);
    if frame[9] == 0 { 0 } else { endless(frame[7] + 1) + frame[3] }
}

fn all() -> std::io::Result<()> {
    threads();
    channels();
    panics();
    files(Path::new("folder"))?;
    let (four, six, all) = (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into());
    for (at, here) in [(four, four), (six, six), (all, six), (all, four)] {
        sockets(at, here)?;
    }
    time();
    environment();
    Ok(())
}

fn threads() {
    let (counter, sum) = (Arc::new(Mutex::new(0)), AtomicUsize::new(0));
    let handles: Vec<_> = (0..50)
        .map(|number| {
            let counter = counter.clone();
            thread::spawn(move || {
                for _ in 0..100 {
                    *counter.lock().unwrap() += 1;
                }
                number
            })
        })
        .collect();
    let numbers: usize = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
    println!("threads: {} {numbers}", counter.lock().unwrap());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    sum.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    println!("scope: {}", sum.into_inner());
    let pair = (Mutex::new(0), Condvar::new());
    let (barrier, shared) = (Barrier::new(3), RwLock::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                *shared.write().unwrap() += 1;
                barrier.wait();
                *pair.0.lock().unwrap() += *shared.read().unwrap();
                pair.1.notify_all();
            });
        }
        barrier.wait();
        let sum = pair.1.wait_while(pair.0.lock().unwrap(), |sum| *sum < 4).unwrap();
        println!("condition: {sum}");
    });
    let waited = pair.1.wait_timeout(pair.0.lock().unwrap(), Duration::from_millis(10)).unwrap();
    println!("timed out: {}", waited.1.timed_out());
    drop(waited);
    let parked = thread::spawn(|| {
        thread::park();
        thread::park_timeout(Duration::from_millis(5));
        "unparked"
    });
    parked.thread().unpark();
    println!("{}", parked.join().unwrap());
    println!("parallelism: {}", thread::available_parallelism().is_ok());
}

fn channels() {
    let (sender, receiver) = mpsc::channel();
    for number in 0..10 {
        let sender = sender.clone();
        thread::spawn(move || (0..100).for_each(|item| sender.send(number * 100 + item).unwrap()));
    }
    drop(sender);
    println!("channel: {}", receiver.iter().sum::<usize>());
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || (0..100).for_each(|item| sender.send(item).unwrap()));
    println!("bounded: {}", receiver.iter().count());
    println!("empty: {:?}", receiver.recv_timeout(Duration::from_millis(5)));
}

fn panics() {
    std::panic::set_hook(Box::new(|info| println!("hook: {}", info.location().map_or(0, |at| at.column()) > 0)));
    let caught = std::panic::catch_unwind(|| {
        let numbers: Vec<i32> = Vec::new();
        numbers[std::hint::black_box(3)]
    });
    println!("caught: {}", caught.is_err());
    let _default = std::panic::take_hook();
}

fn files(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder.join("a/b"))?;
    std::fs::write(folder.join("a/b/file"), "contents")?;
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(folder.join("a/b/file"))?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(b" and more")?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    println!("files: {text}, {} bytes", file.metadata()?.len());
    file.set_len(3)?;
    std::fs::copy(folder.join("a/b/file"), folder.join("copy"))?;
    std::fs::hard_link(folder.join("copy"), folder.join("hard"))?;
    std::os::unix::fs::symlink("copy", folder.join("link"))?;
    std::fs::rename(folder.join("hard"), folder.join("renamed"))?;
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let kind = entry.file_type()?;
            Ok(format!("{} {}{}", entry.file_name().display(), kind.is_dir(), kind.is_symlink()))
        })
        .collect::<std::io::Result<_>>()?;
    names.sort();
    println!("files: {names:?}");
    println!("files: {:?}", std::fs::read_to_string(folder.join("link"))?);
    println!("files: {:?}", std::fs::canonicalize(folder.join("link"))?.ends_with("folder/copy"));
    println!("files: {:?}", std::fs::metadata(folder.join("a"))?.permissions().readonly());
    println!("files: {:?}", std::fs::read(folder.join("missing")).map_err(|error| error.kind()));
    println!("files: {:?}", std::fs::remove_dir(folder).map_err(|error| error.kind()));
    std::fs::remove_dir_all(folder)?;
    println!("files: {}", folder.exists());
    Ok(())
}

/// Listens at one address, and is reached at another.
fn sockets(at: IpAddr, here: IpAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind((at, 0))?;
    let address = SocketAddr::new(here, listener.local_addr()?.port());
    let server = thread::spawn(move || -> std::io::Result<usize> {
        let mut total = 0;
        for _ in 0..5 {
            let (mut stream, _) = listener.accept()?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            total += bytes.len();
            stream.write_all(&bytes)?;
        }
        Ok(total)
    });
    for number in 1..=5_u8 {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(&vec![number; 20_000 * usize::from(number)])?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back)?;
        println!("echo: {} {}", back.len(), back.iter().all(|byte| *byte == number));
    }
    println!("served: {}", server.join().unwrap()?);
    println!("refused: {:?}", TcpStream::connect(address).map_err(|error| error.kind()).err());
    let (one, other) = (UdpSocket::bind((here, 0))?, UdpSocket::bind((here, 0))?);
    one.send_to(b"datagram", other.local_addr()?)?;
    let mut text = [0; 20];
    let (count, from) = other.recv_from(&mut text)?;
    println!("udp: {count} {}", from == one.local_addr()?);
    other.set_read_timeout(Some(Duration::from_millis(10)))?;
    println!("udp: {:?}", other.recv(&mut text).map_err(|error| error.kind()));
    let (mut left, mut right) = UnixStream::pair()?;
    left.write_all(b"pair")?;
    drop(left);
    let mut text = String::new();
    right.read_to_string(&mut text)?;
    println!("unix: {text}");
    println!("resolved: {:?}", std::net::ToSocketAddrs::to_socket_addrs("127.0.0.1:80")?.next());
    Ok(())
}

fn time() {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(10));
    println!("time: {}", start.elapsed() >= Duration::from_millis(10));
    println!(
        "date: {}",
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() > 1_700_000_000)
    );
}

fn environment() {
    let set: HashMap<String, String> = std::env::vars().collect();
    println!("environment: {} {:?}", set.len(), set.get("TORO_TEST"));
    println!("executable: {}", std::env::current_exe().is_ok_and(|path| path.exists()));
    println!("folder: {}", std::env::current_dir().is_ok_and(|path| path.is_absolute()));
    println!("temporary: {}", std::env::temp_dir().is_dir());
}
