//! What `std`'s prelude would bring into scope: `use toro::prelude::*;`

pub use crate::{eprint, eprintln, print, println};
pub use alloc::borrow::ToOwned;
pub use alloc::boxed::Box;
pub use alloc::format;
pub use alloc::string::{String, ToString};
pub use alloc::vec;
pub use alloc::vec::Vec;
