//! What a program may ask of a TCP socket, and be told of it.

use super::options::number;
use super::tcp::{State, TcpSocket};
use toro::net::socket::tcp::{KeepAlive, TcpOption, TcpState};
use toro::prelude::*;
use toro_linux_abi::errno::Errno;
use toro_linux_abi::raw::net;

/// Options of TCP itself.
#[derive(Clone, Copy)]
pub(super) struct TcpOptions {
    pub(super) no_delay: bool,
    pub(super) cork: bool,
    pub(super) quick_ack: bool,
    pub(super) keep_alive: KeepAlive,
    pub(super) user_timeout_ms: i32,
    pub(super) defer_accept: i32,
    pub(super) fast_open: i32,
    pub(super) hops: i32,
    pub(super) service: i32,
}

pub(super) const SECOND_NS: u64 = 1_000_000_000;

impl TcpOptions {
    pub(super) const fn new() -> Self {
        TcpOptions {
            no_delay: false,
            cork: false,
            quick_ack: true,
            keep_alive: KeepAlive::USUAL,
            user_timeout_ms: 0,
            defer_accept: 0,
            fast_open: 0,
            hops: 64,
            service: 0,
        }
    }
}
impl TcpSocket {
    pub(super) fn set_tcp_option(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let number = number(value)?;
        let at_least_one = |number: i32| u32::try_from(number).ok().filter(|number| *number > 0).ok_or(Errno::INVAL);
        let keep_alive = |change: &dyn Fn(&mut KeepAlive)| {
            let keep_alive = self.tcp.with(|tcp| {
                change(&mut tcp.keep_alive);
                tcp.keep_alive
            });
            match self.options.get().keep_alive {
                true => self.apply_one(TcpOption::KeepAlive(Some(keep_alive))),
                false => Ok(()),
            }
        };
        match name {
            net::TCP_NODELAY => {
                self.tcp.with(|tcp| tcp.no_delay = number != 0);
                self.apply_one(TcpOption::NoDelay(number != 0))
            }
            net::TCP_CORK => {
                self.tcp.with(|tcp| tcp.cork = number != 0);
                self.apply_one(TcpOption::Cork(number != 0))
            }
            net::TCP_QUICKACK => {
                self.tcp.with(|tcp| tcp.quick_ack = number != 0);
                self.apply_one(TcpOption::QuickAck(number != 0))
            }
            net::TCP_KEEPIDLE => {
                let seconds = at_least_one(number)?;
                keep_alive(&|keep_alive| keep_alive.idle_ns = u64::from(seconds) * SECOND_NS)
            }
            net::TCP_KEEPINTVL => {
                let seconds = at_least_one(number)?;
                keep_alive(&|keep_alive| keep_alive.interval_ns = u64::from(seconds) * SECOND_NS)
            }
            net::TCP_KEEPCNT => {
                let count = at_least_one(number)?;
                keep_alive(&|keep_alive| keep_alive.count = count)
            }
            net::TCP_USER_TIMEOUT => {
                if number < 0 {
                    return Err(Errno::INVAL);
                }
                self.tcp.with(|tcp| tcp.user_timeout_ms = number);
                let timeout = (number > 0).then_some(number as u64 * 1_000_000);
                self.apply_one(TcpOption::UserTimeout(timeout))
            }
            // A connection is told of when it is open, not only when data has come: no more than a hint is lost.
            net::TCP_DEFER_ACCEPT => {
                self.tcp.with(|tcp| tcp.defer_accept = number);
                Ok(())
            }
            // No peer is ever offered that, as on a Linux where it is switched off.
            net::TCP_FASTOPEN => {
                self.tcp.with(|tcp| tcp.fast_open = number);
                Ok(())
            }
            net::TCP_MAXSEG | net::TCP_SYNCNT | net::TCP_LINGER2 | net::TCP_WINDOW_CLAMP => Err(Errno::OPNOTSUPP),
            _ => Err(Errno::NOPROTOOPT),
        }
    }

    pub(super) fn tcp_option(&self, name: u32) -> Result<Vec<u8>, Errno> {
        let tcp = self.tcp.with(|tcp| *tcp);
        let seconds = |ns: u64| (ns / SECOND_NS) as i32;
        let number = match name {
            net::TCP_NODELAY => tcp.no_delay.into(),
            net::TCP_CORK => tcp.cork.into(),
            net::TCP_QUICKACK => tcp.quick_ack.into(),
            net::TCP_KEEPIDLE => seconds(tcp.keep_alive.idle_ns),
            net::TCP_KEEPINTVL => seconds(tcp.keep_alive.interval_ns),
            net::TCP_KEEPCNT => tcp.keep_alive.count as i32,
            net::TCP_USER_TIMEOUT => tcp.user_timeout_ms,
            net::TCP_DEFER_ACCEPT => tcp.defer_accept,
            net::TCP_FASTOPEN => tcp.fast_open,
            net::TCP_MAXSEG => {
                self.connection().ok().and_then(|it| it.info().ok()).map_or(536, |info| info.segment_bytes as i32)
            }
            net::TCP_CONGESTION => return Ok(b"reno\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()),
            net::TCP_INFO => return Ok(self.told_info()),
            _ => return Err(Errno::NOPROTOOPT),
        };
        Ok(number.to_le_bytes().to_vec())
    }

    /// `tcp_info`, as far as it is known here.
    pub(super) fn told_info(&self) -> Vec<u8> {
        const BYTES: usize = 104;
        let mut bytes = vec![0; BYTES];
        let info = match self.state() {
            State::Connected(connection) => connection.info().ok(),
            State::Listening(..) => {
                bytes[0] = 10;
                None
            }
            _ => {
                bytes[0] = 7;
                None
            }
        };
        let Some(info) = info else { return bytes };
        bytes[0] = state_number(info.state);
        let us = |ns: u64| u32::try_from(ns / 1000).unwrap_or(u32::MAX);
        let segments = |count: u32| count / info.segment_bytes.max(1);
        for (at, value) in [
            (8, us(info.retransmit_timeout_ns)),
            (16, info.segment_bytes),
            (20, info.segment_bytes),
            (24, segments(info.flight_bytes)),
            (68, us(info.round_trip_ns)),
            (72, us(info.round_trip_deviation_ns)),
            (76, segments(info.slow_start_threshold_bytes)),
            (80, segments(info.congestion_window_bytes)),
            (84, info.segment_bytes),
            (96, info.receive_window_bytes),
            (100, info.retransmitted_segments),
        ] {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}

fn state_number(state: TcpState) -> u8 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::SynReceived => 3,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        TcpState::TimeWait => 6,
        TcpState::Closed => 7,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Closing => 11,
    }
}
