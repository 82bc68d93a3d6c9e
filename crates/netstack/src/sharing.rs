//! Who may have a port beside others: the rules of `SO_REUSEADDR` and `SO_REUSEPORT`.

use toro_tcp::Ip;

/// What a socket consents to when it takes a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// Others that consent to it, too, may have the port as long as none of them listens; for datagrams always.
    pub reuse_address: bool,
    /// Others that consent to it, too, may have the port, and those who come are spread over all.
    pub reuse_port: bool,
    /// What is bound to all addresses of IPv6 is not bound to those of IPv4, too (`IPV6_V6ONLY`).
    pub v6_only: bool,
}

/// A port as somebody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) ip: Ip,
    pub(crate) sharing: Sharing,
    /// Somebody listens there: a listener, or a socket for datagrams that does not share addresses.
    pub(crate) exclusive: bool,
}

impl Claim {
    /// Whether two sockets cannot both have a port.
    pub(crate) fn conflicts(&self, other: &Claim) -> bool {
        let apart = !takes(self.ip, self.sharing, other.ip) && !takes(other.ip, other.sharing, self.ip);
        let ports = self.sharing.reuse_port && other.sharing.reuse_port;
        let addresses =
            self.sharing.reuse_address && other.sharing.reuse_address && !self.exclusive && !other.exclusive;
        !(apart || ports || addresses)
    }
}

/// Whether what comes for `ip` comes for a socket that is bound to `bound`: nobody's address stands for all of its family, and that of
/// IPv6 for those of both, unless its socket would not have it so.
#[inline]
pub(crate) fn takes(bound: Ip, sharing: Sharing, ip: Ip) -> bool {
    bound == ip
        || bound == Ip::UNSPECIFIED_V4 && ip.is_v4()
        || bound == Ip::UNSPECIFIED && !(sharing.v6_only && ip.is_v4())
}

/// Whether a socket that is bound to `bound` can speak with `to`: both are of one family, or it is of both.
pub(crate) fn speaks(bound: Ip, sharing: Sharing, to: Ip) -> bool {
    let both = bound == Ip::UNSPECIFIED && !sharing.v6_only;
    both || bound.is_v4() == to.is_v4()
}

#[cfg(test)]
mod tests {
    use super::{Claim, Sharing};
    use core::net::{Ipv4Addr, Ipv6Addr};
    use toro_tcp::Ip;

    const ANY: Ip = Ip::UNSPECIFIED_V4;
    const ONE: Ip = Ip::of_v4(Ipv4Addr::new(10, 0, 0, 1));
    const TWO: Ip = Ip::of_v4(Ipv4Addr::new(10, 0, 0, 2));
    const BOTH: Ip = Ip::UNSPECIFIED;
    const SIX: Ip = Ip::of_v6(Ipv6Addr::LOCALHOST);

    fn claim(ip: Ip, reuse_address: bool, reuse_port: bool, exclusive: bool) -> Claim {
        Claim { ip, sharing: Sharing { reuse_address, reuse_port, v6_only: false }, exclusive }
    }

    fn v6_only(ip: Ip) -> Claim {
        Claim { ip, sharing: Sharing { v6_only: true, ..Sharing::default() }, exclusive: true }
    }

    #[test]
    fn conflicts_are_those_of_linux() {
        for (one, other, conflict) in [
            (claim(ONE, false, false, true), claim(TWO, false, false, true), false),
            (claim(ONE, false, false, false), claim(ANY, false, false, false), true),
            (claim(ANY, true, false, false), claim(ANY, true, false, false), false),
            (claim(ANY, true, false, false), claim(ANY, true, false, true), true),
            (claim(ANY, true, false, false), claim(ANY, false, false, false), true),
            (claim(ANY, false, true, true), claim(ONE, false, true, true), false),
            (claim(ANY, true, true, true), claim(ONE, true, false, true), true),
            (claim(BOTH, false, false, true), claim(ANY, false, false, true), true),
            (claim(BOTH, false, false, true), claim(ONE, false, false, true), true),
            (claim(BOTH, false, false, true), claim(SIX, false, false, true), true),
            (claim(BOTH, false, true, true), claim(ANY, false, true, true), false),
            (claim(ANY, false, false, true), claim(SIX, false, false, true), false),
            (v6_only(BOTH), claim(ANY, false, false, true), false),
            (v6_only(BOTH), claim(ONE, false, false, true), false),
            (v6_only(BOTH), claim(SIX, false, false, true), true),
            (v6_only(BOTH), claim(BOTH, false, false, true), true),
            (v6_only(BOTH), v6_only(SIX), true),
        ] {
            assert_eq!((one.conflicts(&other), other.conflicts(&one)), (conflict, conflict), "{one:?} {other:?}");
        }
    }
}
