//! How a connection stands, for whoever wants to look at it.

/// A connection's state (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// We asked for it.
    SynSent,
    /// Both asked for it at once.
    SynReceived,
    /// Both directions work.
    Established,
    /// We have ended our half, and the peer has not acknowledged that.
    FinWait1,
    /// We have ended our half.
    FinWait2,
    /// The peer has ended its half.
    CloseWait,
    /// Both ended at once; our end is not acknowledged.
    Closing,
    /// Both have ended; our end is not acknowledged.
    LastAck,
    /// Over in order; late segments are waited for.
    TimeWait,
    /// Over.
    Closed,
}

impl TcpState {
    /// Its name in the RFC, in small letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TcpState::SynSent => "syn-sent",
            TcpState::SynReceived => "syn-received",
            TcpState::Established => "established",
            TcpState::FinWait1 => "fin-wait-1",
            TcpState::FinWait2 => "fin-wait-2",
            TcpState::CloseWait => "close-wait",
            TcpState::Closing => "closing",
            TcpState::LastAck => "last-ack",
            TcpState::TimeWait => "time-wait",
            TcpState::Closed => "closed",
        }
    }
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its state.
    pub state: TcpState,
    /// The largest payload we send.
    pub segment_bytes: u32,
    /// How long an answer takes, smoothed (RFC 6298); 0 before the first measurement.
    pub round_trip_ns: u64,
    /// How much that varies.
    pub round_trip_deviation_ns: u64,
    /// How long an answer is waited for.
    pub retransmit_timeout_ns: u64,
    /// How much may be under way for the network's sake (RFC 5681).
    pub congestion_window_bytes: u32,
    /// Below this the congestion window grows fast; `u32::MAX` before the first loss.
    pub slow_start_threshold_bytes: u32,
    /// How much may be under way for the peer's sake.
    pub peer_window_bytes: u32,
    /// How much the peer may send.
    pub receive_window_bytes: u32,
    /// How much is under way.
    pub flight_bytes: u32,
    /// Segments that were sent again.
    pub retransmitted_segments: u32,
}
