//! The list of objects given back from other cores, in every order of events that loom can find.

#![expect(unsafe_code, reason = "the list is intrusive")]

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicPtr, Ordering};

    /// A link that loom watches: an access that no ordering protects fails the test.
    pub(crate) struct Link<T>(loom::cell::UnsafeCell<*mut T>);

    impl<T> Link<T> {
        pub(crate) fn new() -> Self {
            Link(loom::cell::UnsafeCell::new(std::ptr::null_mut()))
        }
        pub(crate) fn get(&self) -> *mut T {
            // SAFETY: loom fails the test when somebody writes meanwhile.
            self.0.with(|link| unsafe { *link })
        }
        pub(crate) fn set(&self, next: *mut T) {
            // SAFETY: loom fails the test when somebody reads or writes meanwhile.
            self.0.with_mut(|link| unsafe { *link = next });
        }
    }
}

#[path = "../src/remote.rs"]
#[expect(unreachable_pub, reason = "public in the library")]
mod remote;

use loom::sync::Arc;
use remote::{Free, Remote};
use sync::Link;

/// Takes what is there; how many objects it was. Each is given to the allocator's caller, so it must be whole.
fn drain(remote: &Remote) -> usize {
    let mut taken = 0;
    let mut object = remote.take();
    while !object.is_null() {
        // SAFETY: a taken object is ours; it was made by `Box`.
        let free = unsafe { Box::from_raw(object) };
        object = free.next.get();
        taken += 1;
    }
    taken
}

#[test]
fn nothing_is_lost_or_taken_twice() {
    let mut orders = loom::model::Builder::new();
    orders.preemption_bound = Some(3); // more take minutes
    orders.check(|| {
        let remote = Arc::new(Remote { head: sync::AtomicPtr::new(std::ptr::null_mut()) });
        let givers: Vec<_> = [2, 1]
            .into_iter()
            .map(|objects| {
                let remote = Arc::clone(&remote);
                loom::thread::spawn(move || {
                    for _ in 0..objects {
                        let object = Box::into_raw(Box::new(Free { next: Link::new() }));
                        // SAFETY: a fresh object.
                        unsafe { remote.push(object) };
                    }
                })
            })
            .collect();
        // A thread of its own: loom moves what the first thread does less.
        let owner = {
            let remote = Arc::clone(&remote);
            loom::thread::spawn(move || drain(&remote) + drain(&remote))
        };
        givers.into_iter().for_each(|giver| giver.join().unwrap());
        assert_eq!(owner.join().unwrap() + drain(&remote), 3);
    });
}
