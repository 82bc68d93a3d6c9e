//! A flood of first segments, each from an address and port that it makes up: nobody is there to complete what they begin.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::End;
use crate::frames::first_segment;

/// What a flood came to.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    /// Segments that were sent.
    pub segments: u64,
    /// For how long.
    pub length: Duration,
}

/// Addresses that are nobody's (RFC 2544): the guest answers to them by its gateway, which throws its answers away.
const FROM: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const FROM_BITS: u32 = 17;
/// After so long of silence, what is due is sent.
const BEAT: Duration = Duration::from_millis(1);

/// Does `work` while first segments for a connection to `to` come at this rate from the network that this thread is in.
///
/// # Errors
/// This host does not let us send packets made by hand (it takes root).
pub fn during<R>(to: SocketAddrV4, a_second: u64, work: impl FnOnce() -> R) -> std::io::Result<(R, Flood)> {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW))?;
    let (is_over, segments) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            while !is_over.load(Relaxed) {
                let due = (start.elapsed().as_secs_f64() * a_second as f64) as u64;
                for _ in segments.load(Relaxed)..due {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let from = Ipv4Addr::from(FROM | (random as u32 & ((1 << FROM_BITS) - 1)));
                    let port = 1024 + (random >> 32) as u16 % 60_000;
                    let packet = first_segment(SocketAddrV4::new(from, port), to, (random >> 16) as u32);
                    // One that the interface has no room for is lost, as on any wire.
                    let _lost = sendto(&raw, &packet, SendFlags::DONTWAIT, &to);
                    segments.fetch_add(1, Relaxed);
                }
                std::thread::sleep(BEAT);
            }
        });
        let _end = End(&is_over);
        work()
    });
    Ok((result, Flood { segments: segments.into_inner(), length: start.elapsed() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_segment_has_the_sums_of_what_it_says() {
        let (from, to) = (SocketAddrV4::new(FROM.into(), 1024), SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80));
        let packet = first_segment(from, to, 7);
        let sum = |bytes: &[u8]| {
            let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
            (words & 0xffff) + (words >> 16)
        };
        assert_eq!((packet.len(), sum(&packet[..20])), (44, 0xffff));
        let pseudo = [&packet[12..20], &[0, 6, 0, 24]].concat();
        assert_eq!(sum(&[&pseudo[..], &packet[20..]].concat()), 0xffff);
    }
}
