//! The options of a SYN: read from the peer's, written into ours.

/// What a SYN may say beyond its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynOptions {
    /// The largest payload that the sender takes (RFC 9293, 3.7.1).
    pub max_segment_bytes: Option<u16>,
    /// Its windows are shifted by so much (RFC 7323, 2).
    pub window_shift: Option<u8>,
    /// It takes selective acknowledgements (RFC 2018, 2).
    pub selective: bool,
    /// It stamps its segments with the time: its clock, and the last that it heard of ours (RFC 7323, 3).
    pub stamp: Option<(u32, u32)>,
}

impl SynOptions {
    /// Longest list that [`write`](Self::write) makes.
    pub const BYTES_MAX: usize = 20;

    /// Reads a list; `None` when a length in it is a lie.
    pub fn parse(mut options: &[u8]) -> Option<Self> {
        let mut found = SynOptions::default();
        while let Some((&kind, rest)) = options.split_first() {
            match kind {
                0 => break,
                1 => options = rest,
                _ => {
                    let len = usize::from(*rest.first()?);
                    let data = options.get(2..len)?;
                    options = &options[len..];
                    match (kind, data) {
                        (2, [high, low]) => {
                            found.max_segment_bytes = Some(u16::from_be_bytes([*high, *low]));
                        }
                        (3, [shift]) => found.window_shift = Some((*shift).min(14)),
                        (4, []) => found.selective = true,
                        (8, [v0, v1, v2, v3, e0, e1, e2, e3]) => {
                            let [value, echo] = [[*v0, *v1, *v2, *v3], [*e0, *e1, *e2, *e3]].map(u32::from_be_bytes);
                            found.stamp = Some((value, echo));
                        }
                        (2..=4 | 8, _) => return None,
                        _ => {}
                    }
                }
            }
        }
        Some(found)
    }

    /// Writes the list, padded to whole words; returns how many bytes it took.
    pub fn write(&self, buffer: &mut [u8; Self::BYTES_MAX]) -> usize {
        let mut len = 0;
        let mut push = |bytes: &[u8]| {
            buffer[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        };
        if let Some(bytes) = self.max_segment_bytes {
            let [high, low] = bytes.to_be_bytes();
            push(&[2, 4, high, low]);
        }
        // Two of two bytes go together, or each with padding.
        if self.selective {
            push(if self.stamp.is_some() { &[4, 2] } else { &[1, 1, 4, 2] });
        }
        if let Some((value, echo)) = self.stamp {
            push(if self.selective { &[8, 10] } else { &[1, 1, 8, 10] });
            push(&value.to_be_bytes());
            push(&echo.to_be_bytes());
        }
        if let Some(shift) = self.window_shift {
            push(&[1, 3, 3, shift]);
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::SynOptions;

    #[test]
    fn what_is_written_is_read_back() {
        for mss in [Some(1460), None] {
            for window_shift in [Some(0), Some(7), None] {
                for (selective, stamp) in
                    [(true, None), (false, None), (true, Some((1, 2))), (false, Some((u32::MAX, 0)))]
                {
                    let options = SynOptions { max_segment_bytes: mss, window_shift, selective, stamp };
                    let mut buffer = [0; SynOptions::BYTES_MAX];
                    let len = options.write(&mut buffer);
                    assert_eq!(len % 4, 0);
                    assert_eq!(SynOptions::parse(&buffer[..len]), Some(options));
                }
            }
        }
    }

    #[test]
    fn lying_lengths_are_refused_and_unknown_options_skipped() {
        for list in [&[2, 0][..], &[2, 1], &[2, 3, 1], &[2, 40, 1, 1], &[3], &[8, 1], &[8, 4, 1, 1]] {
            assert_eq!(SynOptions::parse(list), None, "{list:?}");
        }
        assert!(SynOptions::parse(&[30, 4, 1, 1, 1, 4, 2, 0, 9]).unwrap().selective);
    }
}
