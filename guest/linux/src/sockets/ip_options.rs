//! Options of the levels of IP and of IPv6 that streams and datagrams have alike.

use super::options::{Divides, SOL_IP, SOL_IPV6, Shared, number};
use toro_linux_abi::address::Family;
use toro_linux_abi::errno::Errno;

const IP_TOS: u32 = 1;
const IP_TTL: u32 = 2;
const IP_MTU_DISCOVER: u32 = 10;
const IP_RECVERR: u32 = 11;
const IPV6_UNICAST_HOPS: u32 = 16;
const IPV6_MTU_DISCOVER: u32 = 23;
const IPV6_RECVERR: u32 = 25;
const IPV6_V6ONLY: u32 = 26;
const IPV6_DONTFRAG: u32 = 62;
const IPV6_TCLASS: u32 = 67;
/// How many routers a packet may pass when nobody says so.
const HOPS_USUAL: u8 = 64;

/// A number, as which at the level of IP a single byte is as good.
pub(super) fn short_number(level: u32, value: &[u8]) -> Result<i32, Errno> {
    match value {
        [byte] if level == SOL_IP => Ok((*byte).into()),
        value => number(value),
    }
}

/// Sets what has to do with hops, and with the kind of service; `set` is given one or the other.
pub(super) fn set_ip_option(
    level: u32,
    name: u32,
    value: &[u8],
    options: &Shared,
    set: impl FnOnce(Option<u8>, Option<u8>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let number = short_number(level, value)?;
    let byte = |number: i32, least: i32| u8::try_from(number).ok().filter(|_| number >= least).ok_or(Errno::INVAL);
    match (level, name) {
        (SOL_IP, IP_TTL) | (SOL_IPV6, IPV6_UNICAST_HOPS) => {
            set(Some(if number == -1 { HOPS_USUAL } else { byte(number, 1)? }), None)
        }
        (SOL_IP, IP_TOS) => set(None, Some(byte(number.max(0), 0)?)),
        (SOL_IPV6, IPV6_TCLASS) => set(None, Some(if number == -1 { 0 } else { byte(number, 0)? })),
        (SOL_IP, IP_MTU_DISCOVER) | (SOL_IPV6, IPV6_MTU_DISCOVER) if (0..=3).contains(&number) => {
            options.set_divides(Divides(number));
            Ok(())
        }
        (SOL_IP, IP_RECVERR) | (SOL_IPV6, IPV6_RECVERR | IPV6_DONTFRAG) if number == 0 => Ok(()),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// What was set: `hops` and `service` are the socket's.
pub(super) fn ip_option(level: u32, name: u32, options: &Shared, hops: i32, service: i32) -> Result<i32, Errno> {
    match (level, name) {
        (SOL_IP, IP_TTL) | (SOL_IPV6, IPV6_UNICAST_HOPS) => Ok(hops),
        (SOL_IP, IP_TOS) | (SOL_IPV6, IPV6_TCLASS) => Ok(service),
        (SOL_IP, IP_MTU_DISCOVER) | (SOL_IPV6, IPV6_MTU_DISCOVER) => Ok(options.get().divides.0),
        (SOL_IPV6, IPV6_V6ONLY) => Ok(options.get().v6_only.into()),
        (SOL_IPV6, IPV6_RECVERR | IPV6_DONTFRAG) => Ok(0),
        _ => Err(Errno::NOPROTOOPT),
    }
}

/// Sets `IPV6_V6ONLY`, if it is that, which counts for what is bound later; `None`: it is another.
pub(super) fn set_v6_only(
    level: u32,
    name: u32,
    value: &[u8],
    options: &Shared,
    is_bound: bool,
) -> Option<Result<(), Errno>> {
    ((level, name) == (SOL_IPV6, IPV6_V6ONLY)).then(|| {
        let on = number(value)? != 0;
        if is_bound {
            return Err(Errno::INVAL);
        }
        options.set_v6_only(on);
        Ok(())
    })
}

/// A socket of IPv4 has no options of IPv6: `error` says so.
pub(super) fn check_level(level: u32, family: Family, error: Errno) -> Result<(), Errno> {
    if level == SOL_IPV6 && family != Family::Inet6 { Err(error) } else { Ok(()) }
}
