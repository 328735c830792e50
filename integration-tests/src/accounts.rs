//! The accounts service of a mesh of separate processes, and callers of it.

use std::path::Path;
use std::time::SystemTime;

use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::auth_service_client::AuthServiceClient;
use kinora_proto::accounts::v1::key_service_client::KeyServiceClient;
use kinora_proto::accounts::v1::organisation_service_client::OrganisationServiceClient;
use kinora_proto::accounts::v1::sign_in_response::Outcome;
use kinora_proto::accounts::v1::user_service_client::UserServiceClient;
use tonic::Request;
use tonic::transport::Channel;

use crate::text;

const OPERATOR: &str = "operator@example.org";
const PASSWORD: &str = "a password of nobody else";
/// With which the operator is made.
const FIRST_PASSWORD: &str = "a password of whoever reads this";
/// Mails are written within a second.
const MAIL: std::time::Duration = std::time::Duration::from_secs(30);
const SEALING_KEY: &str = "4242424242424242424242424242424242424242424242424242424242424242";

/// The arguments of `kinora-accounts` on a database file in `folder`.
#[must_use]
pub fn arguments(folder: &Path, port: u16) -> Vec<String> {
    let database = format!("sqlite://{}", text(&folder.join("accounts.db")));
    let listen = format!("127.0.0.1:{port}");
    let mails = folder.join("mails");
    [
        "--listen",
        &listen,
        "--accounts-database",
        &database,
        "--mail-folder",
        text(&mails),
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
        ("KINORA_FIRST_OPERATOR_PASSWORD", FIRST_PASSWORD.to_owned()),
    ];
    if let Some(key) = api_key {
        environment.push(("KINORA_FIRST_OPERATOR_API_KEY", key.to_owned()));
    }
    environment
}

/// Makes organisations, each a tenant of its own, and gives an API key of each.
pub async fn tenants(port: u16, count: usize) -> Vec<String> {
    let channel = channel(port);
    let token = operator_token(&channel).await;
    let mut keys = Vec::new();
    for index in 0..count {
        keys.push(key_of_new_tenant(channel.clone(), &token, index).await);
    }
    keys
}

/// The service on a port, called as the edge calls it.
#[must_use]
pub fn channel(port: u16) -> Channel {
    let identity = kinora_testkit::identity::identity("edge");
    let endpoint = format!("https://127.0.0.1:{port}");
    let channel = kinora_mesh::channel::connect_lazy(&endpoint, &identity, "accounts");
    channel.expect("an endpoint")
}

/// People who have signed up and verified their addresses, by what they sign in with.
pub async fn sign_up(channel: &Channel, folder: &Path, count: usize) -> Vec<pb::SignInRequest> {
    let mut client = AuthServiceClient::new(channel.clone());
    let mut people = Vec::new();
    for index in 0..count {
        let person = pb::SignInRequest {
            email: format!("person-{index}@example.org"),
            password: PASSWORD.to_owned(),
            origin: None,
        };
        let request = pb::SignUpRequest {
            email: person.email.clone(),
            password: person.password.clone(),
            ..pb::SignUpRequest::default()
        };
        client.sign_up(request).await.expect("signs up");
        let request = pb::VerifyEmailRequest {
            code: code_in_mail(&folder.join("mails"), &person.email).await,
            password: person.password.clone(),
            origin: None,
        };
        client.verify_email(request).await.expect("verifies");
        people.push(person);
    }
    people
}

/// The code in the newest mail to an address, of those in a folder, once it is there.
pub async fn code_in_mail(folder: &Path, address: &str) -> String {
    kinora_testkit::wait::until("the mail is there", MAIL, || async {
        newest_code(folder, address).ok_or("no mail yet")
    })
    .await
}

/// A mail to an address that says something, of those in a folder, once it is there.
pub async fn mail_that_says(folder: &Path, address: &str, wanted: &str) -> String {
    kinora_testkit::wait::until("the mail is there", MAIL, || async {
        let mails = mails_to(folder, address);
        let found = mails.iter().find(|(_, mail)| mail.contains(wanted));
        found.map(|(_, mail)| mail.clone()).ok_or(mails)
    })
    .await
}

/// The code stands alone in its line.
fn newest_code(folder: &Path, address: &str) -> Option<String> {
    let mails = mails_to(folder, address).into_iter();
    let (_, mail) = mails.max_by_key(|(written, _)| *written)?;
    let (_, after) = mail.split_once("enter this code:")?;
    after.split_whitespace().next().map(str::to_owned)
}

/// The mails to an address, each with the time at which it was written.
fn mails_to(folder: &Path, address: &str) -> Vec<(SystemTime, String)> {
    let Ok(mails) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mails = mails.flatten().map(|mail| mail.path());
    let mails = mails.filter(|mail| mail.extension().is_some_and(|end| end == "eml"));
    let mails = mails.filter_map(|mail| {
        let written = mail.metadata().ok()?.modified().ok()?;
        let text = std::fs::read_to_string(mail).ok()?;
        // Long lines are broken for their way.
        Some((written, text.replace("=\r\n", "")))
    });
    mails.filter(|(_, mail)| mail.contains(address)).collect()
}

/// An access token of the operator, whose first password is changed by whoever comes first.
pub async fn operator_token(channel: &Channel) -> String {
    if let Some(tokens) = operator_signs_in(channel, PASSWORD).await {
        return tokens.access_token;
    }
    let first = operator_signs_in(channel, FIRST_PASSWORD).await;
    let first = first.expect("the first password is good");
    let change = pb::ChangePasswordRequest {
        current_password: FIRST_PASSWORD.to_owned(),
        new_password: PASSWORD.to_owned(),
        ..pb::ChangePasswordRequest::default()
    };
    let changed = UserServiceClient::new(channel.clone())
        .change_password(with_token(&first.access_token, change))
        .await;
    changed.expect("the password changes");
    let refresh = pb::RefreshRequest {
        refresh_token: first.refresh_token,
        ..pb::RefreshRequest::default()
    };
    let refreshed = AuthServiceClient::new(channel.clone())
        .refresh(refresh)
        .await;
    let tokens = refreshed.expect("goes on").into_inner().tokens;
    tokens.expect("tokens").access_token
}

/// None when it is another password.
async fn operator_signs_in(channel: &Channel, password: &str) -> Option<pb::Tokens> {
    let request = pb::SignInRequest {
        email: OPERATOR.to_owned(),
        password: password.to_owned(),
        origin: None,
    };
    let answer = AuthServiceClient::new(channel.clone())
        .sign_in(request)
        .await;
    match answer {
        Ok(answer) => match answer.into_inner().outcome {
            Some(Outcome::Tokens(tokens)) => Some(tokens),
            outcome => panic!("no tokens: {outcome:?}"),
        },
        Err(status) if status.code() == tonic::Code::Unauthenticated => None,
        Err(status) => panic!("{status}"),
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
