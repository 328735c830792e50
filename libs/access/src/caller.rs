//! Who calls, as a handler sees it.

use kinora_mesh::error::{Kind, PublicError};
use kinora_mesh::principal::Principal;
use tonic::Request;
use uuid::Uuid;

use crate::claims::{Age, Claims, Role, Scope, Scopes};

/// The person or program behind a call, by a token that was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The user or service account.
    pub subject: Uuid,
    /// The organisation that the caller acts for, and the role there. None for one's own.
    pub organisation: Option<(Uuid, Role)>,
    /// The session or API key.
    pub session: Uuid,
    /// What the token may be used for.
    pub scopes: Scopes,
    /// How sure the sign-in was: 1, or 2 with a second factor or a passkey.
    pub assurance: u8,
    /// How the caller signed in: `pwd`, `otp`, `oidc`, `hwk`, `key`, `rec`.
    pub methods: Vec<String>,
    /// When a credential was last shown: Unix time in seconds.
    pub auth_time: i64,
    /// Until when the token is good: Unix time in seconds.
    pub expire_time: i64,
    /// The version of the terms of use that was accepted. 0 for none.
    pub terms_version: u32,
    /// What is known of the caller's age.
    pub age: Age,
    /// Whether the caller may administer the platform.
    pub is_operator: bool,
    /// Whether the caller's password has to be changed before anything else is done.
    pub must_change_password: bool,
}

impl Caller {
    /// The name under which things of this caller are kept: the user, or the organisation and the user.
    #[must_use]
    pub fn principal(&self) -> Principal {
        match self.organisation {
            Some((organisation, _)) => Principal::of_member(organisation, self.subject),
            None => Principal::of_user(self.subject),
        }
    }

    /// Whether it is an API key that calls, and nobody in a session.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.methods.iter().any(|method| method == "key")
    }

    /// Whether the token may be used for `scope`. That of operators is worth nothing to others.
    #[must_use]
    pub const fn may(&self, scope: Scope) -> bool {
        self.scopes.has(scope) && (self.is_operator || !matches!(scope, Scope::Admin))
    }
}

impl From<Claims> for Caller {
    fn from(claims: Claims) -> Self {
        Self {
            subject: claims.sub,
            organisation: claims.org.zip(claims.role),
            session: claims.sid,
            scopes: Scopes::parse(&claims.scope),
            assurance: claims.aal,
            methods: claims.amr,
            auth_time: claims.auth_time,
            expire_time: claims.exp,
            terms_version: claims.terms,
            age: claims.age,
            is_operator: claims.adm,
            must_change_password: claims.init,
        }
    }
}

/// Who makes a call that [`crate::Access`] has let through.
///
/// # Errors
/// `Internal` when the method's rule wants nobody, so that there is nobody to see.
pub fn caller<T>(request: &Request<T>) -> Result<&Caller, PublicError> {
    request.extensions().get::<Caller>().ok_or_else(|| {
        tracing::error!("a handler asks for a caller whom its rule does not want");
        PublicError::new(
            Kind::Internal,
            "INTERNAL",
            "something failed on our side; the request id helps us find it",
        )
    })
}
