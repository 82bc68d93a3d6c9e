//! Starts a Toro guest in a virtual machine and watches it.
