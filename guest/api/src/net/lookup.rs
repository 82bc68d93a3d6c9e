//! Names: which addresses one has, as the machine's settings say, or else a name server.
//!
//! The settings are those of the command line: `host=` names a machine, `dns=` a server, `search=` a domain in which short names
//! are looked for; without `dns=` or `search=` it is what DHCP and routers have named.

use super::name_server::Asked;
use super::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use crate::env;
use crate::io::{self, ErrorKind};
use crate::time::{Duration, Instant};
use alloc::string::String;
use alloc::vec::Vec;
use toro_kernel::net;
use toro_kernel::net::dns::{self, Answer, Family, PORT};

/// How long each server is waited for, the first time and the second that all are asked.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(4)];
/// How long it is waited for that somebody names one.
const PATIENCE_FOR_SERVERS: Duration = Duration::from_secs(15);

/// The addresses of a name: first what there is a way to, and what suits best (RFC 6724). A name that looks like an address is that
/// address.
///
/// # Errors
/// [`ErrorKind::NotFound`] when there is no such name or it has no address, [`ErrorKind::TimedOut`] when no server answers,
/// [`ErrorKind::InvalidInput`] when nothing has such a name.
pub fn lookup_host(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(alloc::vec![address]);
    }
    let known = known(name);
    if !known.is_empty() {
        return Ok(known);
    }
    let servers = name_servers();
    if servers.is_empty() {
        return Err(io::Error::with_message(ErrorKind::NotFound, "the machine knows no name server"));
    }
    let mut exists = false;
    for candidate in candidates(name) {
        let Some(mut found) = ask(&candidate, &servers)? else { continue };
        exists = true;
        if !found.is_empty() {
            dns::sort(&mut found, net::source_for);
            return Ok(found);
        }
    }
    let why = if exists { "the name has no address" } else { "there is no such name" };
    Err(io::Error::with_message(ErrorKind::NotFound, why))
}

/// What needs no server.
fn known(name: &str) -> Vec<IpAddr> {
    let plain = name.strip_suffix('.').unwrap_or(name);
    let is = |other: &str| other.eq_ignore_ascii_case(plain);
    let last = plain.rsplit('.').next().unwrap_or(plain);
    if last.eq_ignore_ascii_case("localhost") {
        return alloc::vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]; // RFC 6761, 6.3
    }
    env::settings("host")
        .filter_map(|setting| setting.split_once(':').filter(|(other, _)| is(other))?.1.parse().ok())
        .collect()
}

/// The name servers: those of the settings, else those that DHCP and routers have named, for which it is waited a while if need be.
#[must_use]
pub fn name_servers() -> Vec<IpAddr> {
    let set: Vec<IpAddr> = env::settings("dns").filter_map(|server| server.parse().ok()).collect();
    if !set.is_empty() {
        return set;
    }
    net::wait_for_name_servers(Some((Instant::now() + PATIENCE_FOR_SERVERS).as_nanos()));
    net::name_servers()
}

/// The domains in which short names are looked for: those of the settings, else those that DHCP or routers have named by now.
#[must_use]
pub fn search_domains() -> Vec<String> {
    let set: Vec<String> = env::settings("search").collect();
    if set.is_empty() { net::search_domains() } else { set }
}

/// The names to ask for, one after the other: a short one within the domains that are searched first, then as it is.
fn candidates(name: &str) -> Vec<String> {
    if name.ends_with('.') {
        return alloc::vec![name.into()];
    }
    let domains = search_domains().into_iter();
    let mut names: Vec<String> = domains.map(|domain| alloc::format!("{name}.{domain}")).collect();
    let place = if name.contains('.') { 0 } else { names.len() };
    names.insert(place, name.into());
    names
}

/// Asks one server after the other for the addresses of both families at once; `None`: there is no such name.
fn ask(name: &str, servers: &[IpAddr]) -> io::Result<Option<Vec<IpAddr>>> {
    let (mut found, mut families, mut failed) = (Vec::new(), alloc::vec![Family::V4, Family::V6], false);
    for patience in PATIENCE {
        for &server in servers {
            let server = SocketAddr::new(server, PORT);
            let asked: Vec<Asked> =
                families.iter().map(|&family| Asked::new(name, family, server)).collect::<io::Result<_>>()?;
            let (end, mut silent) = (Instant::now() + patience, false);
            for mut question in asked {
                match question.answer(end)? {
                    Some(Answer::Addresses(addresses) | Answer::Truncated(addresses)) => {
                        found.extend(addresses);
                        families.retain(|family| *family != question.family());
                    }
                    Some(Answer::NoSuchName) if found.is_empty() => return Ok(None),
                    // It has none of this family, some servers mean by that.
                    Some(Answer::NoSuchName) => families.retain(|family| *family != question.family()),
                    Some(Answer::Failure | Answer::NotUnderstood) => failed = true,
                    None => silent = true,
                }
            }
            // The addresses of one family are better than none, when the other's cannot be told.
            if families.is_empty() || !found.is_empty() && !silent {
                return Ok(Some(found));
            }
        }
    }
    if !found.is_empty() {
        return Ok(Some(found));
    }
    let why = if failed { "the name servers cannot tell" } else { "no name server answers" };
    Err(io::Error::with_message(ErrorKind::TimedOut, why))
}
