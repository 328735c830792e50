//! What can be bought, and what was.

use kinora_store::page::{Page, Sizes};
use uuid::Uuid;

use crate::app::App;
use crate::domain::pack::Pack;
use crate::domain::payer::Payer;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::entity::payments::{checkout, receipt, subscription};
use crate::store::{checkouts, payment_lists, receipts};

const SIZES: Sizes = Sizes {
    usual: 25,
    most: 100,
};

impl App {
    /// What can be bought once: nothing where no money is taken.
    pub(crate) fn packs_on_sale(&self) -> &[Pack] {
        match self.payments {
            Some(_) => self.plans.packs(),
            None => &[],
        }
    }

    /// What became of a checkout of a payer.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`], [`Refusal::CheckoutNotFound`], [`Error::Database`].
    pub(crate) async fn checkout(&self, payer: &Payer, id: Uuid) -> Result<checkout::Model, Error> {
        self.payments()?;
        let found = checkouts::find_of(self.store.reader(), payer, id).await?;
        Ok(found.ok_or(Refusal::CheckoutNotFound)?)
    }

    /// The subscriptions of a payer that have not ended, newest first.
    ///
    /// # Errors
    /// [`Refusal::PaymentsDisabled`], [`Error::Database`].
    pub(crate) async fn subscriptions(
        &self,
        payer: &Payer,
    ) -> Result<Vec<subscription::Model>, Error> {
        self.payments()?;
        payment_lists::subscriptions(self.store.reader(), payer).await
    }

    /// Reads receipts of a payer, or of everybody, newest first, with the token of the next page.
    ///
    /// # Errors
    /// [`Refusal::PageTokenInvalid`], [`Error::Field`], [`Error::Database`].
    pub(crate) async fn receipts(
        &self,
        payer: Option<&Payer>,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<receipt::Model>, String), Error> {
        let of = payer.map(ToString::to_string).unwrap_or_default();
        let page = Page::of(SIZES, &["receipts", &of], page_size, page_token)?;
        let reader = self.store.reader();
        let rows = receipts::newest(reader, payer, page.after, page.rows()).await?;
        Ok(page.cut(rows, |row| row.seq))
    }
}
