//! Puts the folder of `toro.ld` on the linker's search path, for every image that links this kernel.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rerun-if-changed=toro.ld");
}
