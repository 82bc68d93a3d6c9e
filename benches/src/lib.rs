//! What a guest costs, measured.
