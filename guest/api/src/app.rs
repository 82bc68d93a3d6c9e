//! From the kernel to the application's `main`, and back with its exit status.

use crate::process::Termination;

/// Names the function that the machine runs.
///
/// It takes nothing and returns anything that implements [`Termination`](crate::process::Termination): nothing, an
/// [`ExitCode`](crate::process::ExitCode), or a `Result` of those. An error is printed to stderr, and the status is 1.
/// When it returns, the machine ends, whatever other threads do.
///
/// ```no_run
/// toro::main!(main);
///
/// fn main() {
///     toro::println!("Hello");
/// }
/// ```
#[macro_export]
macro_rules! main {
    ($main:path) => {
        const _: () = {
            #[unsafe(no_mangle)]
            fn toro_main() -> i32 {
                $crate::__private::run($main)
            }
        };
    };
}

/// Runs `main` and what comes after it.
pub fn run<T: Termination>(main: fn() -> T) -> i32 {
    let status = main().report().as_status();
    toro_kernel::sched::drop_locals();
    status
}
