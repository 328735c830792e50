//! Who may call what.

use std::sync::Arc;

use kinora_access::{
    Access, Authenticator, Rule, RulesError, Scope, TrustKeeper, TrustSource, Verifier,
};
use kinora_mesh::workload::Workload;
use kinora_proto::DESCRIPTORS;
use kinora_proto::accounts::v1::{
    admin_service_server, auth_service_server, key_service_server, notice_service_server,
    organisation_service_server, trust_service_server, user_service_server,
};
use tokio_util::sync::CancellationToken;

/// All services, by their full names.
pub const SERVICES: [&str; 7] = [
    admin_service_server::SERVICE_NAME,
    auth_service_server::SERVICE_NAME,
    key_service_server::SERVICE_NAME,
    notice_service_server::SERVICE_NAME,
    organisation_service_server::SERVICE_NAME,
    trust_service_server::SERVICE_NAME,
    user_service_server::SERVICE_NAME,
];

/// How the tokens name this service among those they are for.
const AUDIENCE: &str = "accounts";

/// Who brings people's calls.
const FRONT: &[&str] = &["edge", "operator"];

/// Who checks tokens.
const MESH: &[&str] = &["accounts", "billing", "edge", "operator", "scheduler"];

/// Who has something to tell people.
const BILLING: &[&str] = &["billing"];

const ACCOUNT: Scope = Scope::Account;
const ORGANISATIONS: Scope = Scope::Org;
const ADMIN: Scope = Scope::Admin;

const RULES: [Rule; 83] = [
    Rule::nobody("/kinora.accounts.v1.AuthService/SignUp", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/ResendVerification", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/VerifyEmail", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/SignIn", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/CompleteSignIn", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/Refresh", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/SignOut", FRONT),
    Rule::nobody(
        "/kinora.accounts.v1.AuthService/RequestPasswordReset",
        FRONT,
    ),
    Rule::nobody("/kinora.accounts.v1.AuthService/ResetPassword", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/BeginProviderSignIn", FRONT),
    Rule::nobody(
        "/kinora.accounts.v1.AuthService/CompleteProviderSignIn",
        FRONT,
    ),
    Rule::nobody("/kinora.accounts.v1.AuthService/BeginPasskeySignIn", FRONT),
    Rule::nobody(
        "/kinora.accounts.v1.AuthService/CompletePasskeySignIn",
        FRONT,
    ),
    Rule::nobody("/kinora.accounts.v1.AuthService/ExchangeApiKey", FRONT),
    Rule::nobody("/kinora.accounts.v1.AuthService/ListProviders", FRONT),
    Rule::nobody(
        "/kinora.accounts.v1.AuthService/CompleteAgeVerification",
        FRONT,
    ),
    Rule::user("/kinora.accounts.v1.UserService/GetUser", FRONT, ACCOUNT).with_first_password(),
    Rule::user("/kinora.accounts.v1.UserService/UpdateUser", FRONT, ACCOUNT),
    Rule::user("/kinora.accounts.v1.UserService/StepUp", FRONT, ACCOUNT).with_first_password(),
    Rule::user(
        "/kinora.accounts.v1.UserService/ChangePassword",
        FRONT,
        ACCOUNT,
    )
    .freshly()
    .with_first_password(),
    Rule::user(
        "/kinora.accounts.v1.UserService/ChangeEmail",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/ListSessions",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.UserService/RevokeSession",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.UserService/RevokeOtherSessions",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user("/kinora.accounts.v1.UserService/EnrolTotp", FRONT, ACCOUNT).freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/ConfirmTotp",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user("/kinora.accounts.v1.UserService/RemoveTotp", FRONT, ACCOUNT).freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/RenewRecoveryCodes",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/BeginPasskeyRegistration",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/CompletePasskeyRegistration",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/ListPasskeys",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.UserService/RemovePasskey",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/BeginProviderLink",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/CompleteProviderLink",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.UserService/RemoveProviderLink",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user("/kinora.accounts.v1.UserService/GetTerms", FRONT, ACCOUNT),
    Rule::user(
        "/kinora.accounts.v1.UserService/AcceptTerms",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.UserService/ListTermsAcceptances",
        FRONT,
        ACCOUNT,
    ),
    Rule::user("/kinora.accounts.v1.UserService/DeclareAge", FRONT, ACCOUNT),
    Rule::user(
        "/kinora.accounts.v1.UserService/BeginAgeVerification",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.UserService/ListActivity",
        FRONT,
        ACCOUNT,
    ),
    Rule::user("/kinora.accounts.v1.UserService/ExportData", FRONT, ACCOUNT).freshly(),
    Rule::user("/kinora.accounts.v1.UserService/EraseUser", FRONT, ACCOUNT).freshly(),
    Rule::user(
        "/kinora.accounts.v1.UserService/CancelErasure",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.KeyService/CreateApiKey",
        FRONT,
        ACCOUNT,
    )
    .freshly(),
    Rule::user("/kinora.accounts.v1.KeyService/ListApiKeys", FRONT, ACCOUNT),
    Rule::user(
        "/kinora.accounts.v1.KeyService/RevokeApiKey",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.KeyService/CreateServiceAccount",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.KeyService/ListServiceAccounts",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.KeyService/DeleteServiceAccount",
        FRONT,
        ACCOUNT,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/CreateOrganisation",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/GetOrganisation",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/ListOrganisations",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/UpdateOrganisation",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/DeleteOrganisation",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/ListMembers",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/ChangeRole",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/RemoveMember",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/Invite",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/ListInvitations",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/RevokeInvitation",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user(
        "/kinora.accounts.v1.OrganisationService/AcceptInvitation",
        FRONT,
        ORGANISATIONS,
    ),
    Rule::user("/kinora.accounts.v1.AdminService/ListUsers", FRONT, ADMIN),
    Rule::user("/kinora.accounts.v1.AdminService/GetUserById", FRONT, ADMIN),
    Rule::user("/kinora.accounts.v1.AdminService/CreateUser", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/DisableUser", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/EnableUser", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/SetOperator", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/SignOutUser", FRONT, ADMIN),
    Rule::user(
        "/kinora.accounts.v1.AdminService/ResetSecondFactors",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/SetAge", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user(
        "/kinora.accounts.v1.AdminService/ListAllOrganisations",
        FRONT,
        ADMIN,
    ),
    Rule::user("/kinora.accounts.v1.AdminService/ListKeysOf", FRONT, ADMIN),
    Rule::user("/kinora.accounts.v1.AdminService/RevokeKey", FRONT, ADMIN).freshly_in_sessions(),
    Rule::user(
        "/kinora.accounts.v1.AdminService/PublishTerms",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/ListTerms", FRONT, ADMIN),
    Rule::user(
        "/kinora.accounts.v1.AdminService/ListSigningKeys",
        FRONT,
        ADMIN,
    ),
    Rule::user(
        "/kinora.accounts.v1.AdminService/RotateSigningKey",
        FRONT,
        ADMIN,
    ),
    Rule::user(
        "/kinora.accounts.v1.AdminService/RevokeSigningKey",
        FRONT,
        ADMIN,
    )
    .freshly_in_sessions(),
    Rule::user("/kinora.accounts.v1.AdminService/ListAudit", FRONT, ADMIN),
    Rule::user("/kinora.accounts.v1.AdminService/ExportAudit", FRONT, ADMIN),
    Rule::nobody("/kinora.accounts.v1.NoticeService/SendNotice", BILLING),
    Rule::nobody("/kinora.accounts.v1.TrustService/GetTrust", MESH),
];

/// The rules of the workload `own`, for tokens of `issuer` that are checked against what this service itself says.
///
/// # Errors
/// [`RulesError`] when a method has no rule, or a rule no method.
pub fn access(
    own: Workload,
    issuer: &str,
    trust: Arc<dyn TrustSource>,
    shutdown: CancellationToken,
) -> Result<Access, RulesError> {
    let trust = TrustKeeper::start(trust, shutdown);
    let authenticator = Authenticator::new(Verifier::new(issuer, &[AUDIENCE]), trust);
    Access::new(own, DESCRIPTORS, &SERVICES, &RULES, authenticator)
}
