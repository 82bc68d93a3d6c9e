//! What tokio asks of a system: its workers, timers, files, channels, signals and sockets.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

#[tokio::main(worker_threads = 3)]
async fn main() -> std::io::Result<()> {
    let tasks: Vec<_> = (0..1000).map(|number: u64| tokio::spawn(async move { number * 2 })).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    println!("tasks: {sum}");

    let start = Instant::now();
    let sleepers: Vec<_> =
        (0..200).map(|number| tokio::spawn(sleep(Duration::from_millis(10 + number % 10)))).collect();
    for sleeper in sleepers {
        sleeper.await?;
    }
    println!("timers: {}", start.elapsed() >= Duration::from_millis(19));
    println!("timeout: {}", timeout(Duration::from_millis(10), std::future::pending::<()>()).await.is_err());

    let (sender, mut receiver) = mpsc::channel(10);
    tokio::spawn(async move {
        for number in 0..500 {
            sender.send(number).await.expect("somebody receives");
        }
    });
    let mut received = 0;
    while receiver.recv().await.is_some() {
        received += 1;
    }
    println!("channel: {received}");
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move { sender.send("once") });
    println!("oneshot: {:?}", receiver.await);
    let permits = Semaphore::new(2);
    println!("semaphore: {}", permits.try_acquire_many(3).is_err());

    println!("blocking: {}", tokio::task::spawn_blocking(|| std::thread::current().name().is_some()).await?);
    tokio::fs::write("file", "by tokio").await?;
    println!("file: {}", tokio::fs::read_to_string("file").await?);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    let clients: Vec<_> = (0..20_u8)
        .map(|number| {
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await?;
                let sent = vec![number; 10_000];
                stream.write_all(&sent).await?;
                let mut back = vec![0; sent.len()];
                stream.read_exact(&mut back).await?;
                std::io::Result::Ok(back == sent)
            })
        })
        .collect();
    let mut echoed = 0;
    for client in clients {
        echoed += usize::from(client.await??);
    }
    println!("echoed: {echoed}");
    let one = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    one.send_to(b"to itself", one.local_addr()?).await?;
    let mut text = [0; 20];
    println!("udp: {}", one.recv_from(&mut text).await?.0);
    let (mut left, mut right) = tokio::net::UnixStream::pair()?;
    left.write_all(b"unix").await?;
    drop(left);
    let mut text = String::new();
    right.read_to_string(&mut text).await?;
    println!("unix: {text}");

    let mut signals = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1())?;
    let raised = std::process::id();
    println!("signal: {}", raised > 0 && timeout(Duration::from_millis(5), signals.recv()).await.is_err());
    Ok(())
}
