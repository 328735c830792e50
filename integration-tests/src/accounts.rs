//! The accounts service of a mesh of separate processes, and callers of it.

use std::path::Path;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use kinora_proto::accounts::v1::key_service_client::KeyServiceClient;
use kinora_proto::accounts::v1::organisation_service_client::OrganisationServiceClient;
use kinora_proto::accounts::v1::sign_in_response::Outcome;
use tonic::Request;
use tonic::transport::Channel;

use crate::text;

const OPERATOR: &str = "operator@example.org";
const PASSWORD: &str = "a password of nobody else";
const SEALING_KEY: &str = "4242424242424242424242424242424242424242424242424242424242424242";

/// The arguments of `kinora-accounts` on a database file in `folder`.
#[must_use]
pub fn arguments(folder: &Path, port: u16) -> Vec<String> {
    let database = format!("sqlite://{}", text(&folder.join("accounts.db")));
    let listen = format!("127.0.0.1:{port}");
    let mails = text(&folder.join("mails")).to_owned();
    [
        "--listen",
        &listen,
        "--accounts-database",
        &database,
        "--mail-folder",
        &mails,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Its environment: an operator whom [`tenants`] signs in, and whose key `api_key` is, if one is given.
#[must_use]
pub fn environment(api_key: Option<&str>) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("KINORA_ACCOUNTS_SEALING_KEY", SEALING_KEY.to_owned()),
        ("KINORA_FIRST_OPERATOR_EMAIL", OPERATOR.to_owned()),
        ("KINORA_FIRST_OPERATOR_PASSWORD", PASSWORD.to_owned()),
    ];
    if let Some(key) = api_key {
        environment.push(("KINORA_FIRST_OPERATOR_API_KEY", key.to_owned()));
    }
    environment
}

/// Makes organisations, each a tenant of its own, and gives an API key of each.
pub async fn tenants(port: u16, count: usize) -> Vec<String> {
    let identity = kinora_testkit::identity::identity("edge");
    let endpoint = format!("https://127.0.0.1:{port}");
    let channel = kinora_mesh::channel::connect_lazy(&endpoint, &identity, "accounts");
    let channel = channel.expect("an endpoint");
    let token = sign_in(channel.clone()).await;
    let mut keys = Vec::new();
    for index in 0..count {
        keys.push(key_of_new_tenant(channel.clone(), &token, index).await);
    }
    keys
}

async fn sign_in(channel: Channel) -> String {
    let request = pb::SignInRequest {
        email: OPERATOR.to_owned(),
        password: PASSWORD.to_owned(),
        origin: None,
    };
    let answer = AuthServiceClient::new(channel).sign_in(request).await;
    match answer.expect("signs in").into_inner().outcome {
        Some(Outcome::Tokens(tokens)) => tokens.access_token,
        outcome => panic!("no tokens: {outcome:?}"),
    }
}

async fn key_of_new_tenant(channel: Channel, token: &str, index: usize) -> String {
    let organisation = pb::CreateOrganisationRequest {
        name: format!("tenant {index}"),
        ..pb::CreateOrganisationRequest::default()
    };
    let made = OrganisationServiceClient::new(channel.clone())
        .create_organisation(with_token(token, organisation))
        .await;
    let organisation = made.expect("an organisation").into_inner().organisation;
    let key = pb::CreateApiKeyRequest {
        name: "tests".to_owned(),
        organisation_id: organisation.expect("an organisation").id,
        ..pb::CreateApiKeyRequest::default()
    };
    let made = KeyServiceClient::new(channel)
        .create_api_key(with_token(token, key))
        .await;
    made.expect("a key").into_inner().secret
}

fn with_token<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", value);
    request
}
