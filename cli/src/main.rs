//! Program `toro`: build and run unikernel images.
fn main() {}
