//! Envoy as the edge's peer: the same contracts, the same service behind it, the same mutual TLS.
//!
//! It checks tokens too (`jwt_authn`, the same key, with its cache of tokens, since the edge has one), writes a line for each
//! request, as the edge does, and sends events as the edge does. Everything else of the edge it lacks. Its transcoder
//! refuses `response_body`, so that its answers are the whole messages: `{"video": …}` where the edge's are the video.

use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinora_access::testing::{ISSUER, TestIssuer};
use kinora_mesh::workload::Workload;
use kinora_proto::scheduler::v1::video_service_server::SERVICE_NAME;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value as Field};
use serde_json::{Value, json};

/// What Envoy is told.
pub struct Envoy<'a> {
    /// Where it listens, on the loopback.
    pub port: u16,
    /// Where the service listens.
    pub backend_port: u16,
    /// Who the service must be.
    pub backend: &'a Workload,
    /// Who Envoy is.
    pub identity: &'a Path,
    /// A file with the descriptors of the contracts.
    pub descriptors: &'a Path,
    /// A file for its lines.
    pub access_log: &'a Path,
    /// Whose tokens are good.
    pub issuer: &'a TestIssuer,
}

impl Envoy<'_> {
    /// Its configuration, as JSON.
    pub fn config(&self) -> Value {
        json!({ "static_resources": {
            "listeners": [{
                "name": "rest",
                "address": address(self.port),
                "filter_chains": [{ "filters": [{
                    "name": "envoy.filters.network.http_connection_manager",
                    "typed_config": self.connections(),
                }] }],
            }],
            "clusters": [self.cluster()],
        } })
    }

    fn connections(&self) -> Value {
        let router = typed("filters.http.router.v3.Router", json!({}));
        json!({
            "@type": type_of("filters.network.http_connection_manager.v3.HttpConnectionManager"),
            "stat_prefix": "rest",
            "codec_type": "AUTO",
            "stream_idle_timeout": "0s",
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": typed("access_loggers.file.v3.FileAccessLog", json!({ "path": self.access_log })),
            }],
            "route_config": { "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "scheduler", "timeout": "0s" } }],
            }] },
            "http_filters": [
                { "name": "envoy.filters.http.jwt_authn", "typed_config": self.tokens() },
                { "name": "envoy.filters.http.grpc_json_transcoder", "typed_config": self.transcoder() },
                { "name": "envoy.filters.http.router", "typed_config": router },
            ],
        })
    }

    fn tokens(&self) -> Value {
        let (id, key) = self.issuer.current_key();
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        let keys = json!({ "keys": [
            { "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": id, "x": x },
        ] });
        let provider = json!({
            "issuer": ISSUER,
            "audiences": ["scheduler"],
            "forward": true,
            "jwt_cache_config": { "jwt_cache_size": 4096 },
            "local_jwks": { "inline_string": keys.to_string() },
        });
        typed(
            "filters.http.jwt_authn.v3.JwtAuthentication",
            json!({
                "providers": { "kinora": provider },
                "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "kinora" } }],
            }),
        )
    }

    fn transcoder(&self) -> Value {
        typed(
            "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            json!({
                "proto_descriptor": self.descriptors,
                "services": [SERVICE_NAME],
                "print_options": {
                    "always_print_primitive_fields": true,
                    "preserve_proto_field_names": true,
                    "stream_newline_delimited": true,
                    "stream_sse_style_delimited": true,
                },
            }),
        )
    }

    fn cluster(&self) -> Value {
        let limits = json!({ "max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000 });
        json!({
            "name": "scheduler",
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": { "thresholds": [limits] },
            "load_assignment": {
                "cluster_name": "scheduler",
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(self.backend_port) } }] }],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                    "upstreams.http.v3.HttpProtocolOptions",
                    json!({ "explicit_http_config": { "http2_protocol_options": {} } }),
                ),
            },
            "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": self.tls() },
        })
    }

    fn tls(&self) -> Value {
        let file = |name| json!({ "filename": self.identity.join(name) });
        let names =
            json!([{ "san_type": "URI", "matcher": { "exact": self.backend.to_string() } }]);
        typed(
            "transport_sockets.tls.v3.UpstreamTlsContext",
            json!({ "common_tls_context": {
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3" },
                "tls_certificates": [{ "certificate_chain": file("tls.crt"), "private_key": file("tls.key") }],
                "validation_context": { "trusted_ca": file("ca.crt"), "match_typed_subject_alt_names": names },
                "alpn_protocols": ["h2"],
            } }),
        )
    }
}

/// The contracts' descriptors as Envoy takes them: no route has a `response_body`.
pub fn descriptors() -> Result<Vec<u8>> {
    let pool = DescriptorPool::decode(kinora_proto::DESCRIPTORS)?;
    let set = pool.get_message_by_name("google.protobuf.FileDescriptorSet");
    let set = set.context("the contracts do not import descriptor.proto")?;
    let mut set = DynamicMessage::decode(set, kinora_proto::DESCRIPTORS)?;
    clear_response_bodies(&mut set);
    Ok(set.encode_to_vec())
}

fn clear_response_bodies(message: &mut DynamicMessage) {
    if message.descriptor().full_name() == "google.api.HttpRule" {
        message.clear_field_by_name("response_body");
    }
    for (_, field) in message.fields_mut() {
        clear_response_bodies_in(field);
    }
    for (_, option) in message.extensions_mut() {
        clear_response_bodies_in(option);
    }
}

fn clear_response_bodies_in(field: &mut Field) {
    match field {
        Field::Message(message) => clear_response_bodies(message),
        Field::List(fields) => fields.iter_mut().for_each(clear_response_bodies_in),
        _ => {}
    }
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn typed(name: &str, mut config: Value) -> Value {
    if let Some(fields) = config.as_object_mut() {
        fields.insert("@type".to_owned(), type_of(name).into());
    }
    config
}

fn type_of(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}
