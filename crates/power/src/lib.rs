//! When a core stays awake, how deep it sleeps and how fast it runs.
//!
//! Decisions only: what was seen comes in as numbers, what to do goes out, and the kernel does it. So all of it is tested on
//! the host, and a processor that offers what no hypervisor here offers is a few numbers in a test.
//!
//! - [`Policy`]: what a mode of `toro_abi::power` comes to
//! - [`Window`]: how long a core without work stays awake, by how that has paid lately
//! - [`mwait`]: which state a core is to sleep in, and whether the processor really sleeps there
//! - [`frequency`]: speed, by whichever of three interfaces the processor has
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod frequency;
pub mod mwait;
mod policy;
mod window;

pub use policy::Policy;
pub use window::Window;
