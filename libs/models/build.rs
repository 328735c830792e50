//! Lets the tests and examples of this crate find libtorch at run time.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    #[expect(
        clippy::disallowed_methods,
        reason = "a build script has no clap configuration"
    )]
    let libtorch = std::env::var("LIBTORCH");
    if let Ok(folder) = libtorch {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}/lib");
    }
}
