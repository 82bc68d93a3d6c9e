//! The system calls as data: for printing and checking.

/// How an argument of a call is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "written so in the table")]
pub enum Kind {
    /// A pointer to something that is not printed.
    address,
    /// `madvise`'s advice.
    advice,
    /// `AT_` flags.
    at_flags,
    /// `CLONE_` flags.
    clone_flags,
    /// A clock's number.
    clock,
    /// A descriptor to resolve paths from, or `AT_FDCWD`.
    dirfd,
    /// What `fcntl` is to do.
    fcntl,
    /// A descriptor.
    fd,
    /// What `futex` is to do.
    futex_op,
    /// A number in hexadecimal.
    hex,
    /// Bytes for the kernel, as many as the next argument says.
    input,
    /// A signed number.
    int,
    /// `MAP_` flags.
    map_flags,
    /// A number in octal.
    octal,
    /// `O_` flags.
    open_flags,
    /// Bytes from the kernel, as many as the call returns.
    output,
    /// A path, or another text that ends with a zero.
    path,
    /// `PROT_` flags.
    protection,
    /// `RLIMIT_` numbers.
    resource,
    /// A signal's number.
    signal,
    /// A number of bytes.
    size,
    /// A socket's address, as long as the next argument says.
    socket_address,
    /// An unsigned number.
    uint,
    /// Pieces of memory, as many as the next argument says.
    vectors,
}

/// How far a call is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As Linux has it, for a machine with one program.
    Full,
    /// But for this.
    Partial(&'static str),
    /// Not at all: `ENOSYS`. What to do about it, where there is something; else empty.
    None(&'static str),
}

/// A system call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its number.
    pub number: u16,
    /// Its name.
    pub name: &'static str,
    /// Its arguments; empty for calls that are not supported.
    pub arguments: &'static [Kind],
    /// How far it is supported.
    pub support: Support,
}

macro_rules! support {
    (none) => {
        Support::None("")
    };
    (none $cure:literal) => {
        Support::None($cure)
    };
    ($module:ident::$function:ident) => {
        Support::Full
    };
    ($module:ident::$function:ident, partial $note:literal) => {
        Support::Partial($note)
    };
}

macro_rules! list {
    ($($number:literal $name:ident($($kind:ident),*) [$($support:tt)*];)*) => {
        /// All of them, by number.
        pub static CALLS: &[Call] = &[
            $(Call {
                number: $number,
                name: stringify!($name),
                arguments: &[$(Kind::$kind),*],
                support: support!($($support)*),
            }),*
        ];
    };
}

crate::for_each_call!(list);

/// The call of that number.
#[must_use]
pub fn find(number: u64) -> Option<&'static Call> {
    let at = CALLS.binary_search_by_key(&number, |call| u64::from(call.number)).ok()?;
    CALLS.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(CALLS.is_sorted_by(|one, other| one.number < other.number));
        assert_eq!(find(59).map(|call| call.name), Some("execve"));
        assert!(find(400).is_none() && find(u64::MAX).is_none());
    }
}
