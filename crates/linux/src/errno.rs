//! Error numbers of Linux, as calls return them.

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(u16);

impl Errno {
    /// The number, above 0.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The value that a call returns in its place.
    #[must_use]
    pub const fn returned(self) -> u64 {
        (-(self.0 as i64)) as u64
    }

    /// Interrupted by a signal: begun again if the signal's action says so, else [`INTR`](Self::INTR). Never seen by a program.
    pub const RESTART: Self = Errno(512);
    /// Interrupted by a signal: begun again unless the signal has a handler. Never seen by a program.
    pub const RESTART_UNLESS_HANDLED: Self = Errno(514);
}

impl core::fmt::Debug for Errno {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! numbers {
    ($($number:literal $constant:ident $name:literal $text:literal;)*) => {
        impl Errno {
            $(
                #[doc = $text]
                pub const $constant: Self = Errno($number);
            )*

            /// The name in C.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => $name,)*
                    _ => "ERESTARTSYS",
                }
            }

            /// What it means.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "To be restarted",
                }
            }
        }
    };
}

numbers! {
    1 PERM "EPERM" "Operation not permitted";
    2 NOENT "ENOENT" "No such file or directory";
    3 SRCH "ESRCH" "No such process";
    4 INTR "EINTR" "Interrupted system call";
    5 IO "EIO" "Input/output error";
    6 NXIO "ENXIO" "No such device or address";
    7 TOOBIG "E2BIG" "Argument list too long";
    8 NOEXEC "ENOEXEC" "Exec format error";
    9 BADF "EBADF" "Bad file descriptor";
    10 CHILD "ECHILD" "No child processes";
    11 AGAIN "EAGAIN" "Resource temporarily unavailable";
    12 NOMEM "ENOMEM" "Cannot allocate memory";
    13 ACCES "EACCES" "Permission denied";
    14 FAULT "EFAULT" "Bad address";
    15 NOTBLK "ENOTBLK" "Block device required";
    16 BUSY "EBUSY" "Device or resource busy";
    17 EXIST "EEXIST" "File exists";
    18 XDEV "EXDEV" "Invalid cross-device link";
    19 NODEV "ENODEV" "No such device";
    20 NOTDIR "ENOTDIR" "Not a directory";
    21 ISDIR "EISDIR" "Is a directory";
    22 INVAL "EINVAL" "Invalid argument";
    23 NFILE "ENFILE" "Too many open files in system";
    24 MFILE "EMFILE" "Too many open files";
    25 NOTTY "ENOTTY" "Inappropriate ioctl for device";
    26 TXTBSY "ETXTBSY" "Text file busy";
    27 FBIG "EFBIG" "File too large";
    28 NOSPC "ENOSPC" "No space left on device";
    29 SPIPE "ESPIPE" "Illegal seek";
    30 ROFS "EROFS" "Read-only file system";
    31 MLINK "EMLINK" "Too many links";
    32 PIPE "EPIPE" "Broken pipe";
    33 DOM "EDOM" "Numerical argument out of domain";
    34 RANGE "ERANGE" "Numerical result out of range";
    35 DEADLK "EDEADLK" "Resource deadlock avoided";
    36 NAMETOOLONG "ENAMETOOLONG" "File name too long";
    37 NOLCK "ENOLCK" "No locks available";
    38 NOSYS "ENOSYS" "Function not implemented";
    39 NOTEMPTY "ENOTEMPTY" "Directory not empty";
    40 LOOP "ELOOP" "Too many levels of symbolic links";
    42 NOMSG "ENOMSG" "No message of desired type";
    43 IDRM "EIDRM" "Identifier removed";
    44 CHRNG "ECHRNG" "Channel number out of range";
    45 L2NSYNC "EL2NSYNC" "Level 2 not synchronized";
    46 L3HLT "EL3HLT" "Level 3 halted";
    47 L3RST "EL3RST" "Level 3 reset";
    48 LNRNG "ELNRNG" "Link number out of range";
    49 UNATCH "EUNATCH" "Protocol driver not attached";
    50 NOCSI "ENOCSI" "No CSI structure available";
    51 L2HLT "EL2HLT" "Level 2 halted";
    52 BADE "EBADE" "Invalid exchange";
    53 BADR "EBADR" "Invalid request descriptor";
    54 XFULL "EXFULL" "Exchange full";
    55 NOANO "ENOANO" "No anode";
    56 BADRQC "EBADRQC" "Invalid request code";
    57 BADSLT "EBADSLT" "Invalid slot";
    59 BFONT "EBFONT" "Bad font file format";
    60 NOSTR "ENOSTR" "Device not a stream";
    61 NODATA "ENODATA" "No data available";
    62 TIME "ETIME" "Timer expired";
    63 NOSR "ENOSR" "Out of streams resources";
    64 NONET "ENONET" "Machine is not on the network";
    65 NOPKG "ENOPKG" "Package not installed";
    66 REMOTE "EREMOTE" "Object is remote";
    67 NOLINK "ENOLINK" "Link has been severed";
    68 ADV "EADV" "Advertise error";
    69 SRMNT "ESRMNT" "Srmount error";
    70 COMM "ECOMM" "Communication error on send";
    71 PROTO "EPROTO" "Protocol error";
    72 MULTIHOP "EMULTIHOP" "Multihop attempted";
    73 DOTDOT "EDOTDOT" "RFS specific error";
    74 BADMSG "EBADMSG" "Bad message";
    75 OVERFLOW "EOVERFLOW" "Value too large for defined data type";
    76 NOTUNIQ "ENOTUNIQ" "Name not unique on network";
    77 BADFD "EBADFD" "File descriptor in bad state";
    78 REMCHG "EREMCHG" "Remote address changed";
    79 LIBACC "ELIBACC" "Can not access a needed shared library";
    80 LIBBAD "ELIBBAD" "Accessing a corrupted shared library";
    81 LIBSCN "ELIBSCN" ".lib section in a.out corrupted";
    82 LIBMAX "ELIBMAX" "Attempting to link in too many shared libraries";
    83 LIBEXEC "ELIBEXEC" "Cannot exec a shared library directly";
    84 ILSEQ "EILSEQ" "Invalid or incomplete multibyte or wide character";
    86 STRPIPE "ESTRPIPE" "Streams pipe error";
    87 USERS "EUSERS" "Too many users";
    88 NOTSOCK "ENOTSOCK" "Socket operation on non-socket";
    89 DESTADDRREQ "EDESTADDRREQ" "Destination address required";
    90 MSGSIZE "EMSGSIZE" "Message too long";
    91 PROTOTYPE "EPROTOTYPE" "Protocol wrong type for socket";
    92 NOPROTOOPT "ENOPROTOOPT" "Protocol not available";
    93 PROTONOSUPPORT "EPROTONOSUPPORT" "Protocol not supported";
    94 SOCKTNOSUPPORT "ESOCKTNOSUPPORT" "Socket type not supported";
    95 OPNOTSUPP "EOPNOTSUPP" "Operation not supported";
    96 PFNOSUPPORT "EPFNOSUPPORT" "Protocol family not supported";
    97 AFNOSUPPORT "EAFNOSUPPORT" "Address family not supported by protocol";
    98 ADDRINUSE "EADDRINUSE" "Address already in use";
    99 ADDRNOTAVAIL "EADDRNOTAVAIL" "Cannot assign requested address";
    100 NETDOWN "ENETDOWN" "Network is down";
    101 NETUNREACH "ENETUNREACH" "Network is unreachable";
    102 NETRESET "ENETRESET" "Network dropped connection on reset";
    103 CONNABORTED "ECONNABORTED" "Software caused connection abort";
    104 CONNRESET "ECONNRESET" "Connection reset by peer";
    105 NOBUFS "ENOBUFS" "No buffer space available";
    106 ISCONN "EISCONN" "Transport endpoint is already connected";
    107 NOTCONN "ENOTCONN" "Transport endpoint is not connected";
    108 SHUTDOWN "ESHUTDOWN" "Cannot send after transport endpoint shutdown";
    109 TOOMANYREFS "ETOOMANYREFS" "Too many references: cannot splice";
    110 TIMEDOUT "ETIMEDOUT" "Connection timed out";
    111 CONNREFUSED "ECONNREFUSED" "Connection refused";
    112 HOSTDOWN "EHOSTDOWN" "Host is down";
    113 HOSTUNREACH "EHOSTUNREACH" "No route to host";
    114 ALREADY "EALREADY" "Operation already in progress";
    115 INPROGRESS "EINPROGRESS" "Operation now in progress";
    116 STALE "ESTALE" "Stale file handle";
    117 UCLEAN "EUCLEAN" "Structure needs cleaning";
    118 NOTNAM "ENOTNAM" "Not a XENIX named type file";
    119 NAVAIL "ENAVAIL" "No XENIX semaphores available";
    120 ISNAM "EISNAM" "Is a named type file";
    121 REMOTEIO "EREMOTEIO" "Remote I/O error";
    122 DQUOT "EDQUOT" "Disk quota exceeded";
    123 NOMEDIUM "ENOMEDIUM" "No medium found";
    124 MEDIUMTYPE "EMEDIUMTYPE" "Wrong medium type";
    125 CANCELED "ECANCELED" "Operation canceled";
    126 NOKEY "ENOKEY" "Required key not available";
    127 KEYEXPIRED "EKEYEXPIRED" "Key has expired";
    128 KEYREVOKED "EKEYREVOKED" "Key has been revoked";
    129 KEYREJECTED "EKEYREJECTED" "Key was rejected by service";
    130 OWNERDEAD "EOWNERDEAD" "Owner died";
    131 NOTRECOVERABLE "ENOTRECOVERABLE" "State not recoverable";
    132 RFKILL "ERFKILL" "Operation not possible due to RF-kill";
}
