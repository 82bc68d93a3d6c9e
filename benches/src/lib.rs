//! What a Toro guest costs: boot, idle, requests, memory, image size; and what Linux costs beside it.
//!
//! `quick` names the figures and their targets, `measure` takes them, each from a guest started by `vm`;
//! `baseline` holds the counts that may not grow. Counts come from the plugin of `toro-counter`, so they
//! hardly depend on how busy the host is; CPU seconds do, and are compared only within one run.

pub mod artifact;
pub mod baseline;
pub mod burst;
pub mod compare;
pub mod cores;
pub mod costs;
pub mod hold;
pub mod http;
pub mod image;
pub mod linux;
pub mod load;
pub mod measure;
pub mod null;
pub mod private;
pub mod profile;
pub mod quick;
pub mod report;
pub mod studies;
pub mod study;
pub mod vm;
