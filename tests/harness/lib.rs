//! The six-line virtual machine test.
