//! What virtual machines must do; one file for each topic.

mod boot;
mod console;
mod examples;
mod malformed;
mod outcome;
mod protection;
mod threads;
mod time;
