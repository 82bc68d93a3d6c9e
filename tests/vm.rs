//! What virtual machines must do; one file for each topic.

mod boot;
mod malformed;
