//! What goes wrong between the fake and those who use it.

/// What goes wrong with one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiFault {
    /// Nothing is done, and the answer is this status, with `Retry-After` in seconds and `Stripe-Should-Retry` if given.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// Seconds.
        retry_after: Option<u32>,
        /// What Stripe thinks of another try.
        should_retry: Option<bool>,
    },
    /// It is done, and the answer is 500. The next try with the same key gets the real answer.
    FailAfterCommit,
    /// It is done, and the answer is 500, which is kept: every further try with the same key gets it again.
    KeepFailure,
    /// It is done, and the connection breaks in the middle of the answer.
    LoseAnswer,
    /// It is done, and there is no answer.
    Hang,
    /// Nothing is done, and the answer is this.
    Say {
        /// The HTTP status.
        status: u16,
        /// The body, which may be anything.
        body: String,
    },
}

/// What goes wrong with webhooks: each a chance in a thousand, 0 to 1000, decided by [`Self::seed`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookFaults {
    /// The same seed decides the same.
    pub seed: u64,
    /// A webhook is sent twice.
    pub duplicate: u16,
    /// What is due together is sent in any order.
    pub reorder: bool,
    /// A webhook is first sent up to an hour late.
    pub delay: u16,
    /// A webhook is never sent.
    pub drop: u16,
    /// A webhook is signed with a secret that is none.
    pub bad_signature: u16,
    /// A webhook is signed an hour ago.
    pub stale: u16,
}

/// Decides by chance, the same for the same seed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `bound`, which is at least 1. (SplitMix64.)
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Whether a chance in a thousand comes true.
    pub(super) fn hits(&mut self, permille: u16) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }
}
