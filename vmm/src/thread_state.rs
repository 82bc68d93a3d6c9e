//! What the threads of a crashed program have in registers, as its guest sends it (`docs/guest-interface.md`).

use toro_abi::thread_state::{FXSAVE_BYTES, REGISTERS, STATE_BYTES, THREADS_MAX};

/// A thread's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadState {
    /// Its number.
    pub(crate) thread: u32,
    /// In the order of [`crate::report::REGISTERS`].
    pub(crate) registers: [u64; 18],
    pub(crate) fs_base: u64,
    pub(crate) gs_base: u64,
    /// x87 and SSE, as `FXSAVE` stores them.
    pub(crate) fxsave: [u8; FXSAVE_BYTES],
}

/// The states of a report, while they come.
#[derive(Debug, Default)]
pub(crate) struct ThreadStates(Vec<(u32, Vec<u8>)>);

impl ThreadStates {
    /// Takes in a piece; one that does not follow the others of its thread is left out.
    pub(crate) fn add(&mut self, thread: u32, offset: usize, bytes: &[u8]) {
        if let Some((_, state)) = self.0.last_mut().filter(|(last, state)| *last == thread && state.len() == offset) {
            state.extend_from_slice(bytes);
        } else if offset == 0 && self.0.len() < THREADS_MAX {
            self.0.push((thread, bytes.to_owned()));
        }
    }

    /// Those that have come whole.
    pub(crate) fn whole(self) -> Vec<ThreadState> {
        self.0.into_iter().filter_map(|(thread, bytes)| decode(thread, &bytes)).collect()
    }
}

fn decode(thread: u32, bytes: &[u8]) -> Option<ThreadState> {
    let bytes: &[u8; STATE_BYTES] = bytes.try_into().ok()?;
    let (registers, fxsave) = bytes.split_at(REGISTERS * 8);
    let mut values = registers.as_chunks::<8>().0.iter().map(|value| u64::from_le_bytes(*value));
    let registers = std::array::from_fn(|_| values.next().unwrap_or_default());
    Some(ThreadState {
        thread,
        registers,
        fs_base: values.next()?,
        gs_base: values.next()?,
        fxsave: fxsave.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_order_are_a_state() {
        let whole: Vec<u8> = (0..STATE_BYTES).map(|at| if at < 160 { (at / 8) as u8 } else { 9 }).collect();
        let mut states = ThreadStates::default();
        for (at, piece) in whole.chunks(96).enumerate() {
            states.add(7, 96 * at, piece);
        }
        states.add(8, 0, &whole[..96]);
        states.add(8, 192, &whole[192..288]); // one is missing
        states.add(9, 96, &whole[96..192]);
        let states = states.whole();
        assert_eq!(states.len(), 1);
        let state = &states[0];
        assert_eq!((state.thread, state.registers[17]), (7, 0x1111_1111_1111_1111));
        assert_eq!((state.fs_base, state.gs_base), (0x1212_1212_1212_1212, 0x1313_1313_1313_1313));
        assert_eq!(state.fxsave, [9; FXSAVE_BYTES]);
    }
}
