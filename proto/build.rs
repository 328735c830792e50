//! Compiles the contracts without a system protoc and keeps the descriptor set for reflection.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 23] = [
    "kinora/access/v1/access.proto",
    "kinora/accounts/v1/account.proto",
    "kinora/accounts/v1/admin_service.proto",
    "kinora/accounts/v1/auth_service.proto",
    "kinora/accounts/v1/key_service.proto",
    "kinora/accounts/v1/notice_service.proto",
    "kinora/accounts/v1/organisation_service.proto",
    "kinora/accounts/v1/trust_service.proto",
    "kinora/accounts/v1/user_service.proto",
    "kinora/billing/v1/admin_service.proto",
    "kinora/billing/v1/billing_service.proto",
    "kinora/billing/v1/ledger_service.proto",
    "kinora/billing/v1/money.proto",
    "kinora/billing/v1/payment_service.proto",
    "kinora/prompts/v1/prompt.proto",
    "kinora/prompts/v1/prompt_service.proto",
    "kinora/prompts/v1/review_service.proto",
    "kinora/scheduler/v1/admin_service.proto",
    "kinora/scheduler/v1/job.proto",
    "kinora/scheduler/v1/video.proto",
    "kinora/scheduler/v1/video_service.proto",
    "kinora/scheduler/v1/webhook_service.proto",
    "kinora/scheduler/v1/worker_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells its build scripts where to write in the environment"
    )]
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    // Encoded by the compiler: its types keep options that are extensions, such as routes, and prost's do not.
    let descriptors = compiler.encode_file_descriptor_set();
    std::fs::write(out.join("descriptors.bin"), descriptors)?;
    // Without `connect`, which would open plain connections: channels come from kinora_mesh.
    let generator = tonic_prost_build::configure().build_transport(false);
    generator.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
