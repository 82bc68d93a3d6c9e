//! Tier 2 of Linux programs: runtimes that bring their own scheduler, and servers on them.

use std::net::SocketAddr;
use std::process::Command;

use toro_tests::{Client, Listen, Program, ask_all, built, compare, compare_served, has_ipv6};

#[test]
fn what_tokio_needs() {
    if let Some(program) = built(Program::rust("tokio_runtime")) {
        compare(&program, &[], "");
    }
}

#[test]
fn an_axum_server() {
    if let Some(program) = built(Program::rust("axum_server")) {
        for cpus in [1, 2] {
            compare_served(&program, Listen::Together, cpus, ask_all);
        }
    }
}

#[test]
fn an_actix_server() {
    if let Some(program) = built(Program::rust("actix_server")) {
        compare_served(&program, Listen::Together, 2, ask_all);
    }
}

#[test]
fn what_go_needs() {
    if let Some(program) = built(Program::go("runtime")).filter(|_| has_ipv6("what_go_needs")) {
        compare(&program, &[], "");
    }
}

/// The standard library moves bytes from one connection to another by `splice`.
#[test]
fn a_go_proxy() {
    if let Some(program) = built(Program::go("proxy")) {
        compare(&program, &[], "");
    }
}

#[test]
fn a_go_server() {
    if let Some(program) = built(Program::go("server")) {
        for cpus in [1, 2] {
            compare_served(&program, Listen::Together, cpus, ask_all);
        }
    }
}

/// A command as redis reads it.
fn command(words: &[&str]) -> Vec<u8> {
    let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(word).collect::<String>()).into_bytes()
}

/// The next reply, as text.
fn reply(client: &mut Client) -> String {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.receive(1));
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    match (line.split_at(1), line[1..].parse::<i64>()) {
        (("$", _), Ok(bytes @ 0..)) => {
            let text = client.receive(bytes as usize + 2);
            if bytes > 1000 { format!("{bytes} bytes") } else { String::from_utf8_lossy(&text).trim_end().to_owned() }
        }
        (("*", _), Ok(count)) => format!("{:?}", (0..count).map(|_| reply(client)).collect::<Vec<_>>()),
        _ => line,
    }
}

/// What redis is asked: something of each kind of data, a script, a transaction, what is written to disk, many at once.
fn ask_redis(address: SocketAddr) -> Vec<String> {
    let mut client = Client::connect(address);
    let commands = "PING;SET a 1;GET a;INCRBY a 41;GET missing;APPEND a x;INCR a;STRLEN a;RPUSH l 1 2 3;LRANGE l 0 -1;LPOP l;\
                    HSET h f v g w;HGET h g;HLEN h;SADD s x y x;SCARD s;ZADD z 2 b 1 a;ZRANGE z 0 -1 WITHSCORES;EXPIRE a 1000;\
                    TTL a;TYPE z;OBJECT ENCODING l;DEL a l;EXISTS a h;SETRANGE r 5 xyz;GET r;PFADD p 1 2 3;PFCOUNT p;\
                    XADD stream 1-1 k v;XLEN stream;SETEX e 100 v;GETDEL e;NOSUCH;MULTI;SET t 1;INCR t;EXEC;SAVE;DBSIZE;\
                    CONFIG GET maxmemory;WAIT 0 10;BLPOP none 0.05;FLUSHALL;DBSIZE";
    let mut told = Vec::new();
    for words in commands.split(';').map(|words| words.split_whitespace().collect::<Vec<_>>()) {
        client.send(&command(&words));
        told.push(format!("{words:?}: {}", reply(&mut client)));
    }
    client.send(&command(&["EVAL", "local s = 0 for i = 1, 1000 do s = s + i end return s", "0"]));
    told.push(reply(&mut client));
    let large = "x".repeat(1 << 20);
    client.send(&command(&["SET", "large", &large]));
    client.send(&command(&["GET", "large"]));
    told.extend([reply(&mut client), reply(&mut client)]);
    let many: Vec<u8> =
        (0..1000).flat_map(|number| command(&["SET", &format!("key:{number}"), &number.to_string()])).collect();
    client.send(&many);
    told.push(format!("{}", (0..1000).filter(|_| reply(&mut client) == "+OK").count()));
    client.send(&command(&["DBSIZE"]));
    told.push(reply(&mut client));
    let answered = |_| {
        let mut client = Client::connect(address);
        client.send(&command(&["PING"]));
        assert_eq!(reply(&mut client), "+PONG");
        client
    };
    let mut clients: Vec<Client> = (0..30).map(answered).collect();
    clients.iter_mut().for_each(|client| client.send(&command(&["INCR", "shared"])));
    let mut counted: Vec<String> = clients.iter_mut().map(reply).collect();
    counted.sort();
    told.push(format!("{counted:?}"));
    told
}

#[test]
fn a_redis_server() {
    let Some(program) = built(Program::redis("redis-server")) else { return };
    compare_served(&program, Listen::Redis, 1, ask_redis);
}

#[test]
fn a_redis_server_under_its_own_benchmark() {
    let programs = (built(Program::redis("redis-server")), built(Program::redis("redis-benchmark")));
    let (Some(server), Some(benchmark)) = programs else { return };
    let arguments = ["--port", "80", "--protected-mode", "no", "--save", ""];
    let running = server.guest(&arguments).ports(&[80]).start();
    let port = running.listening(80).port().to_string();
    for pipeline in ["1", "16"] {
        let words =
            ["-h", "127.0.0.1", "-p", &port, "-t", "set,get", "-n", "3000", "-c", "20", "-P", pipeline, "--csv"];
        let output = Command::new(benchmark.file()).args(words).output().expect("the benchmark starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("\"SET\"") && text.contains("\"GET\""), "{output:?}");
    }
    assert_eq!(running.stop().exit.status(), 0, "redis ends in order");
}
