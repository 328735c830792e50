//! Contracts for tests.

use http::Method;

use crate::{InvalidRoutes, Route, Transcoder};

/// What the edge serves by routes.
pub(crate) const SERVICES: [&str; 11] = [
    "kinora.accounts.v1.AdminService",
    "kinora.accounts.v1.AuthService",
    "kinora.accounts.v1.KeyService",
    "kinora.accounts.v1.OrganisationService",
    "kinora.accounts.v1.UserService",
    "kinora.billing.v1.AdminService",
    "kinora.billing.v1.BillingService",
    "kinora.billing.v1.PaymentService",
    "kinora.scheduler.v1.AdminService",
    "kinora.scheduler.v1.VideoService",
    "kinora.scheduler.v1.WebhookService",
];

/// The route of a request that has one.
#[track_caller]
pub(crate) fn route<'a>(transcoder: &'a Transcoder, verb: &str, path: &str) -> &'a Route {
    let verb = Method::from_bytes(verb.as_bytes()).unwrap();
    transcoder.find(&verb, path).expect("a route").route
}

/// The name of the method of a request.
pub(crate) fn try_find<'a>(transcoder: &'a Transcoder, verb: &str, path: &str) -> Option<&'a str> {
    let verb = Method::from_bytes(verb.as_bytes()).unwrap();
    let found = transcoder.find(&verb, path).ok()?;
    found.route.method().rsplit('/').next()
}

/// A service of these methods. Their messages are `M`, of all that a message can have.
pub(crate) fn contract(methods: &str) -> Result<Transcoder, InvalidRoutes> {
    let source = format!(
        r#"
        syntax = "proto3";
        package t;
        import "google/api/annotations.proto";
        import "google/protobuf/duration.proto";
        import "google/protobuf/field_mask.proto";
        import "google/protobuf/struct.proto";
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/wrappers.proto";
        enum E {{ e_unspecified = 0; one = 1; two = 2; }}
        message M {{
            string a = 1;
            string b = 2;
            M m = 3;
            repeated string list = 4;
            int32 small = 5;
            int64 large = 6;
            uint64 count = 7;
            float real = 8;
            double double_real = 9;
            bool flag = 10;
            bytes file = 11;
            E enumeration = 12;
            map<string, uint32> counts = 13;
            repeated M many = 14;
            oneof choice {{ string left = 15; string right = 16; }}
            google.protobuf.Timestamp time = 17;
            google.protobuf.Duration duration = 18;
            google.protobuf.FieldMask update_mask = 19;
            google.protobuf.Struct anything = 20;
            google.protobuf.UInt32Value wrapped = 21;
            repeated E several = 22;
        }}
        service S {{ {methods} }}
        "#
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.proto");
    std::fs::write(&file, source).unwrap();
    let contracts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/proto");
    let mut compiler = protox::Compiler::new([folder.path(), contracts.as_ref()]).unwrap();
    compiler.include_imports(true).open_file(&file).unwrap();
    Transcoder::new(&compiler.encode_file_descriptor_set(), &["t.S"])
}
