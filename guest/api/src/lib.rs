//! The library a Toro application is written with, shaped after `std`.
#![no_std]
