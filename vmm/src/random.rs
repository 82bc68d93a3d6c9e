//! Random numbers of the host's kernel.

use crate::error::Error;

/// A random number.
pub(crate) fn number() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        Ok(_) => Err(Error::new("cannot get random numbers: the kernel gave too few")),
        Err(error) => Err(Error::new(format!("cannot get random numbers: {error}"))),
    }
}
