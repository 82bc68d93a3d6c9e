//! What must hold whatever has come: tables within their bounds, and sums that agree with what they sum. Tests and fuzzing ask.

use crate::stack::Stack;
use crate::tcp::CONNECTION_BYTES;

impl Stack {
    /// Looks at all tables.
    ///
    /// # Panics
    /// When one of them is larger than it may be, or a count of what is in it is wrong.
    #[cold]
    pub fn assert_sound(&self) {
        let limits = &self.shared.config.limits;
        self.neighbors.assert_sound();
        self.shared.outbox.assert_sound();
        for aside in &self.shared.aside {
            aside.assert_sound();
        }
        let pieces_bytes = self.reassembly.assert_sound(limits);
        let queued_bytes = self.udp.assert_sound(limits);
        let (connections, buffer_bytes) = self.tcp.assert_sound(limits);
        let memory = &self.shared.memory;
        assert_eq!(
            memory.used_bytes() - memory.spare_bytes(),
            pieces_bytes + queued_bytes + connections * CONNECTION_BYTES + buffer_bytes,
            "pieces {pieces_bytes}, datagrams {queued_bytes}, {connections} connections, buffers {buffer_bytes}"
        );
        assert!(memory.used_bytes() <= limits.memory_bytes, "{memory:?}");
    }
}
