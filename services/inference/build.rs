//! Lets the program find libtorch where it was built against it, without an environment.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = option_env_at_build("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}

fn option_env_at_build(name: &str) -> Option<String> {
    std::env::vars()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}
