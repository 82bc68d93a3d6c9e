//! The options of a SYN: read from the peer's, written into ours.

/// What a SYN may say beyond its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SynOptions {
    pub(super) max_segment_bytes: Option<u16>,
    pub(super) window_shift: Option<u8>,
    pub(super) selective: bool,
}

impl SynOptions {
    /// Longest list that [`write`](Self::write) makes.
    pub(super) const BYTES_MAX: usize = 12;

    /// Reads a list; `None` when a length in it is a lie.
    pub(super) fn parse(mut options: &[u8]) -> Option<Self> {
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
                        (2..=4, _) => return None,
                        _ => {}
                    }
                }
            }
        }
        Some(found)
    }

    /// Writes the list, padded to whole words; returns how many bytes it took.
    pub(super) fn write(&self, buffer: &mut [u8; Self::BYTES_MAX]) -> usize {
        let mut len = 0;
        let mut push = |bytes: &[u8]| {
            buffer[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
        };
        if let Some(bytes) = self.max_segment_bytes {
            let [high, low] = bytes.to_be_bytes();
            push(&[2, 4, high, low]);
        }
        if self.selective {
            push(&[1, 1, 4, 2]);
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
        for (mss, shift, selective) in
            [(Some(1460), Some(7), true), (Some(536), None, false), (None, Some(0), true), (None, None, false)]
        {
            let options = SynOptions { max_segment_bytes: mss, window_shift: shift, selective };
            let mut buffer = [0; SynOptions::BYTES_MAX];
            let len = options.write(&mut buffer);
            assert_eq!(len % 4, 0);
            assert_eq!(SynOptions::parse(&buffer[..len]), Some(options));
        }
    }

    #[test]
    fn lying_lengths_are_refused_and_unknown_options_skipped() {
        for list in [&[2, 0][..], &[2, 1], &[2, 3, 1], &[2, 40, 1, 1], &[3], &[8, 1]] {
            assert_eq!(SynOptions::parse(list), None, "{list:?}");
        }
        assert!(SynOptions::parse(&[8, 4, 1, 1, 1, 4, 2, 0, 9]).unwrap().selective);
    }
}
