//! Atomics and cells: the real ones, or in tests those whose every interleaving is tried.

#[cfg(test)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicPtr, Ordering, fence},
};

#[cfg(not(test))]
pub(crate) use core::sync::atomic::{AtomicPtr, Ordering, fence};

/// `core`'s cell with the methods of loom's, which can see two threads inside at once.
#[cfg(not(test))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

#[cfg(not(test))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        UnsafeCell(core::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Defines a function that is `const` outside of tests: loom's atomics and cells cannot be made at compile time.
macro_rules! const_fn {
    ($(#[$attribute:meta])* pub fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty $body:block) => {
        $(#[$attribute])*
        #[cfg(not(test))]
        pub const fn $name($($argument: $type),*) -> $result $body

        $(#[$attribute])*
        #[cfg(test)]
        pub fn $name($($argument: $type),*) -> $result $body
    };
}
pub(crate) use const_fn;
