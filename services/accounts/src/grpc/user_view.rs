//! A user in the contract.

use kinora_proto::accounts::v1 as pb;

use super::convert::time_to_pb;
use crate::app::App;
use crate::domain::age::{Age, Assurance, Tier};
use crate::store::entity::people::identity;
use crate::store::user_view::{UserView, age_of};
use crate::store::users;

/// A user in the contract.
pub(super) fn user_to_pb(app: &App, view: UserView) -> pb::User {
    let content_tier = match app.content_tier_of(&view.row) {
        Tier::General => pb::ContentTier::General,
        Tier::Adult => pb::ContentTier::Adult,
    };
    let age = age_to_pb(age_of(&view.row));
    let row = view.row;
    pb::User {
        id: row.id.to_string(),
        email_verified: true,
        email: row.email,
        display_name: row.display_name,
        terms_version: row.terms_version.unsigned_abs(),
        age: Some(age),
        has_password: row.password_hash.is_some(),
        has_totp: view.has_totp,
        passkeys: view.passkeys,
        recovery_codes_left: view.recovery_codes_left,
        identities: view.identities.into_iter().map(identity_to_pb).collect(),
        is_operator: row.is_operator,
        state: state_to_pb(row.state).into(),
        create_time: Some(time_to_pb(row.create_time)),
        erase_time: row.erase_time.map(time_to_pb),
        content_tier: content_tier.into(),
    }
}

/// An age in the contract.
pub(super) fn age_to_pb(age: Age) -> pb::Age {
    let assurance = match age.assurance {
        Assurance::Unverified => pb::AgeAssurance::Unverified,
        Assurance::Declared => pb::AgeAssurance::Declared,
        Assurance::Verified => pb::AgeAssurance::Verified,
    };
    pb::Age {
        assurance: assurance.into(),
        method: age.method,
        is_adult: age.is_adult,
        time: age.time.map(time_to_pb),
    }
}

/// An account at another provider in the contract.
pub(super) fn identity_to_pb(row: identity::Model) -> pb::Identity {
    pb::Identity {
        provider: row.provider,
        issuer: row.issuer,
        subject: row.subject,
        email: row.email,
        create_time: Some(time_to_pb(row.create_time)),
    }
}

const fn state_to_pb(state: i16) -> pb::UserState {
    match state {
        users::ACTIVE => pb::UserState::Active,
        users::DISABLED => pb::UserState::Disabled,
        users::LEAVING => pb::UserState::Leaving,
        _ => pb::UserState::Unspecified,
    }
}
