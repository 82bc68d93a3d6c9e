//! Numbers of the virtio specification, under its own names. A test compares them with the `virtio-spec` crate,
//! which the guest does without: it would bring a dozen packages and procedural macros into every build.

/// Device types.
pub mod device_type {
    /// Network card.
    pub const NET: u32 = 1;
    /// Console.
    pub const CONSOLE: u32 = 3;
    /// Entropy source.
    pub const RNG: u32 = 4;
}

/// Bits of the device status.
pub mod status {
    /// The driver has seen the device.
    pub const ACKNOWLEDGE: u8 = 1;
    /// The driver knows how to drive it.
    pub const DRIVER: u8 = 2;
    /// The driver can work.
    pub const DRIVER_OK: u8 = 4;
    /// The features are agreed.
    pub const FEATURES_OK: u8 = 8;
    /// The driver has given up.
    pub const FAILED: u8 = 128;
}

/// Bits of the features that every device may have.
pub mod feature {
    /// Notifications are asked for by index.
    pub const EVENT_IDX: u64 = 1 << 29;
    /// The device follows version 1 of the specification, or later.
    pub const VERSION_1: u64 = 1 << 32;
}

/// Bits of the features of a network card.
pub mod net_feature {
    /// It completes checksums of what it sends.
    pub const CSUM: u64 = 1 << 0;
    /// It may deliver frames with partial checksums.
    pub const GUEST_CSUM: u64 = 1 << 1;
    /// It says the largest packet.
    pub const MTU: u64 = 1 << 3;
    /// It has a hardware address.
    pub const MAC: u64 = 1 << 5;
    /// Frames longer than the MTU may arrive, of TCP over IPv4.
    pub const GUEST_TSO4: u64 = 1 << 7;
    /// The same over IPv6.
    pub const GUEST_TSO6: u64 = 1 << 8;
    /// The device cuts long segments of TCP over IPv4.
    pub const HOST_TSO4: u64 = 1 << 11;
    /// The same over IPv6.
    pub const HOST_TSO6: u64 = 1 << 12;
    /// It may spread a frame over several buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// It says whether the link is up.
    pub const STATUS: u64 = 1 << 16;
    /// It has a control queue.
    pub const CTRL_VQ: u64 = 1 << 17;
    /// It says when the machine is to be announced.
    pub const GUEST_ANNOUNCE: u64 = 1 << 21;
    /// It has several pairs of queues.
    pub const MQ: u64 = 1 << 22;
}

/// Bits of a network card's status.
pub mod net_status {
    /// The link carries frames.
    pub const LINK_UP: u16 = 1;
    /// The machine is to be announced.
    pub const ANNOUNCE: u16 = 2;
}

/// Words of a network card's control queue.
pub mod net_control {
    /// Class of the commands about announcements.
    pub const CLASS_ANNOUNCE: u8 = 3;
    /// What the status asked for is done.
    pub const ANNOUNCE_ACK: u8 = 0;
    /// Class of the commands about pairs of queues.
    pub const CLASS_MQ: u8 = 4;
    /// Use so many of them.
    pub const MQ_VQ_PAIRS_SET: u8 = 0;
    /// The answer to a command that was carried out.
    pub const OK: u8 = 0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtio_spec::{DeviceStatus, F, Id, net};

    #[test]
    fn numbers_are_those_of_the_specification() {
        assert_eq!(device_type::NET, u8::from(Id::Net).into());
        assert_eq!(device_type::CONSOLE, u8::from(Id::Console).into());
        assert_eq!(device_type::RNG, u8::from(Id::Rng).into());
        assert_eq!(status::ACKNOWLEDGE, DeviceStatus::ACKNOWLEDGE.bits());
        assert_eq!(status::DRIVER, DeviceStatus::DRIVER.bits());
        assert_eq!(status::DRIVER_OK, DeviceStatus::DRIVER_OK.bits());
        assert_eq!(status::FEATURES_OK, DeviceStatus::FEATURES_OK.bits());
        assert_eq!(status::FAILED, DeviceStatus::FAILED.bits());
        let bits = |feature: F| feature.bits().to_ne() as u64;
        assert_eq!(feature::EVENT_IDX, bits(F::EVENT_IDX));
        assert_eq!(feature::VERSION_1, bits(F::VERSION_1));
        for (ours, theirs) in [
            (net_feature::CSUM, net::F::CSUM),
            (net_feature::GUEST_CSUM, net::F::GUEST_CSUM),
            (net_feature::MTU, net::F::MTU),
            (net_feature::MAC, net::F::MAC),
            (net_feature::MRG_RXBUF, net::F::MRG_RXBUF),
            (net_feature::STATUS, net::F::STATUS),
            (net_feature::CTRL_VQ, net::F::CTRL_VQ),
            (net_feature::MQ, net::F::MQ),
            (net_feature::GUEST_ANNOUNCE, net::F::GUEST_ANNOUNCE),
        ] {
            assert_eq!(ours, bits(theirs.into()));
        }
        assert_eq!(crate::net::HEADER_BYTES, size_of::<net::Hdr>());
    }
}
