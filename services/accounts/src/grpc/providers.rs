//! The contract's calls about other providers.

use kinora_proto::accounts::v1 as pb;
use tonic::{Request, Response, Status};

use super::convert::{caller, origin_from_pb, time_to_pb, tokens_to_pb};
use super::second_factor::challenge_to_pb;
use crate::app::App;
use crate::app::providers::Answer;
use crate::app::second_factor::SignedIn;
use crate::store::entity::people::identity;

pub(super) async fn begin_provider_sign_in(
    app: &App,
    request: Request<pb::BeginProviderSignInRequest>,
) -> Result<Response<pb::BeginProviderSignInResponse>, Status> {
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    let sent = app
        .begin_provider_sign_in(&request.provider, &request.redirect_uri, &origin)
        .await?;
    Ok(Response::new(pb::BeginProviderSignInResponse {
        authorization_url: sent.authorization_url,
        browser_token: sent.browser_token,
    }))
}

pub(super) async fn complete_provider_sign_in(
    app: &App,
    request: Request<pb::CompleteProviderSignInRequest>,
) -> Result<Response<pb::CompleteProviderSignInResponse>, Status> {
    use pb::complete_provider_sign_in_response::Outcome;

    let request = request.into_inner();
    let answer = Answer {
        state: &request.state,
        code: &request.code,
        error: &request.error,
        browser_token: &request.browser_token,
        redirect_uri: &request.redirect_uri,
        iss: &request.iss,
    };
    let origin = origin_from_pb(request.origin.clone());
    let (signed_in, is_new) = app.complete_provider_sign_in(answer, &origin).await?;
    let outcome = match signed_in {
        SignedIn::Tokens(tokens) => Outcome::Tokens(tokens_to_pb(tokens)),
        SignedIn::Challenge(challenge) => Outcome::Challenge(challenge_to_pb(challenge)),
    };
    Ok(Response::new(pb::CompleteProviderSignInResponse {
        outcome: Some(outcome),
        is_new,
    }))
}

pub(super) async fn list_providers(
    app: &App,
    _request: Request<pb::ListProvidersRequest>,
) -> Result<Response<pb::ListProvidersResponse>, Status> {
    Ok(Response::new(pb::ListProvidersResponse {
        providers: app.provider_names(),
    }))
}

pub(super) async fn begin_provider_link(
    app: &App,
    request: Request<pb::BeginProviderLinkRequest>,
) -> Result<Response<pb::BeginProviderLinkResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let sent = app
        .begin_provider_link(&caller, &request.provider, &request.redirect_uri)
        .await?;
    Ok(Response::new(pb::BeginProviderLinkResponse {
        authorization_url: sent.authorization_url,
        browser_token: sent.browser_token,
    }))
}

pub(super) async fn complete_provider_link(
    app: &App,
    request: Request<pb::CompleteProviderLinkRequest>,
) -> Result<Response<pb::CompleteProviderLinkResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let answer = Answer {
        state: &request.state,
        code: &request.code,
        error: &request.error,
        browser_token: &request.browser_token,
        redirect_uri: &request.redirect_uri,
        iss: &request.iss,
    };
    let origin = origin_from_pb(request.origin.clone());
    let identity = app.complete_provider_link(&caller, answer, &origin).await?;
    Ok(Response::new(pb::CompleteProviderLinkResponse {
        identity: Some(identity_to_pb(identity)),
    }))
}

pub(super) async fn remove_provider_link(
    app: &App,
    request: Request<pb::RemoveProviderLinkRequest>,
) -> Result<Response<pb::RemoveProviderLinkResponse>, Status> {
    let caller = caller(&request)?;
    let request = request.into_inner();
    let origin = origin_from_pb(request.origin);
    app.remove_provider_link(&caller, &request.provider, &origin)
        .await?;
    Ok(Response::new(pb::RemoveProviderLinkResponse {}))
}

/// An account at another provider.
pub(super) fn identity_to_pb(identity: identity::Model) -> pb::Identity {
    pb::Identity {
        provider: identity.provider,
        issuer: identity.issuer,
        subject: identity.subject,
        email: identity.email,
        create_time: Some(time_to_pb(identity.create_time)),
    }
}
