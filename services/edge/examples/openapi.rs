//! Prints the interface as an OpenAPI document, for `make openapi`.

use std::io::Write;

fn main() -> anyhow::Result<()> {
    let mut document = serde_json::to_string_pretty(&kinora_edge::interface()?)?;
    document.push('\n');
    std::io::stdout().write_all(document.as_bytes())?;
    Ok(())
}
