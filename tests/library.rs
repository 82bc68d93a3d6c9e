//! What the library does in the place of others.

use toro_tests::guest;

#[test]
fn memory_is_copied_byte_for_byte() {
    guest("copies").run().expect_status(0).expect_stdout("as byte by byte\n");
}

#[test]
fn large_memory_comes_back() {
    guest("large_memory").memory_mib(1024).run().expect_status(0).expect_stdout("50 times\n");
}
