//! Guest instruction and exit counts under QEMU.
