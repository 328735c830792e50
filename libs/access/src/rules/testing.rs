//! Contracts for tests.

/// The service of [`contract`].
pub(crate) const SERVICE: &str = "t.S";

/// A service of these methods, of messages `M`, as an encoded descriptor set.
pub(crate) fn contract(methods: &str) -> Vec<u8> {
    let source = format!(
        r#"
        syntax = "proto3";
        package t;
        import "kinora/access/v1/access.proto";
        message M {{}}
        service S {{ {methods} }}
        "#
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.proto");
    std::fs::write(&file, source).expect("a file");
    let contracts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/proto");
    let mut compiler = protox::Compiler::new([folder.path(), contracts.as_ref()]).expect("folders");
    compiler.include_imports(true);
    compiler.open_file(&file).expect("a contract");
    compiler.encode_file_descriptor_set()
}

/// A service of the methods `Ask`, which answers once, and `Watch`, which answers with a stream, each under this rule.
pub(crate) fn contract_of(rule: &str) -> Vec<u8> {
    let option = format!("option (kinora.access.v1.rule).{rule};");
    contract(&format!(
        "rpc Ask(M) returns (M) {{ {option} }} rpc Watch(M) returns (stream M) {{ {option} }}"
    ))
}
