//! What the owner of an account is told when a credential of it changes.

/// Something that has happened to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The password was changed or set, by who is signed in.
    PasswordChanged,
    /// The password was set by a code from a mail.
    PasswordReset,
    /// Somebody who is signed in asked for another address. Told to the old one.
    EmailChangeBegun,
    /// The address is another one now. Told to the old one.
    EmailChanged,
    /// Codes from an app are asked for from now on.
    TotpAdded,
    /// They no longer are.
    TotpRemoved,
    /// New recovery codes took the place of the old ones.
    RecoveryCodesRenewed,
    /// Somebody signed in with a recovery code.
    RecoveryCodeUsed,
    /// A passkey signs in from now on.
    PasskeyAdded,
    /// It no longer does.
    PasskeyRemoved,
    /// An account of another provider signs in from now on.
    ProviderLinked,
    /// It no longer does.
    ProviderUnlinked,
    /// There is a new API key.
    ApiKeyCreated,
    /// An API key has ended.
    ApiKeyRevoked,
    /// The account is to be erased.
    ErasureBegun,
    /// It is not.
    ErasureCancelled,
    /// An operator has removed the second factors.
    SecondFactorsReset,
}

impl Notice {
    /// The subject of the mail, and what has happened in a sentence.
    #[must_use]
    pub const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::PasswordChanged => (
                "Your password was changed",
                "The password of your account was changed.",
            ),
            Self::PasswordReset => (
                "Your password was reset",
                "The password of your account was set anew with a code from a mail, and all sessions were ended.",
            ),
            Self::EmailChangeBegun => (
                "A new address was given for your account",
                "Somebody who is signed in to your account asked for another mail address. It changes once the code that was sent there is entered.",
            ),
            Self::EmailChanged => (
                "The address of your account was changed",
                "Your account has another mail address now; this one is no longer used.",
            ),
            Self::TotpAdded => (
                "Codes from an app were switched on",
                "Signing in to your account needs a code from your app from now on.",
            ),
            Self::TotpRemoved => (
                "Codes from an app were switched off",
                "Signing in to your account no longer needs a code from an app.",
            ),
            Self::RecoveryCodesRenewed => (
                "New recovery codes were made",
                "New recovery codes were made for your account; the old ones no longer work.",
            ),
            Self::RecoveryCodeUsed => (
                "A recovery code was used",
                "Somebody signed in to your account with a recovery code.",
            ),
            Self::PasskeyAdded => (
                "A passkey was added",
                "A passkey was added to your account; it signs in from now on.",
            ),
            Self::PasskeyRemoved => (
                "A passkey was removed",
                "A passkey was removed from your account.",
            ),
            Self::ProviderLinked => (
                "Another way to sign in was added",
                "An account of another provider was linked to yours; it signs in from now on.",
            ),
            Self::ProviderUnlinked => (
                "A way to sign in was removed",
                "An account of another provider was unlinked from yours.",
            ),
            Self::ApiKeyCreated => (
                "An API key was made",
                "An API key was made for your account.",
            ),
            Self::ApiKeyRevoked => (
                "An API key was revoked",
                "An API key of your account was revoked.",
            ),
            Self::ErasureBegun => (
                "Your account will be erased",
                "Your account will be erased in 30 days, and all sessions and keys have ended. To keep it, sign in before that and cancel it.",
            ),
            Self::ErasureCancelled => ("Your account is kept", "Your account will not be erased."),
            Self::SecondFactorsReset => (
                "Your second factors were removed",
                "An operator of the platform removed the codes and passkeys of your account, and ended its sessions. Signing in needs no second step until you add one.",
            ),
        }
    }
}
