//! Who redeemed what, all of it.

use futures::{Stream, TryStreamExt, stream};
use uuid::Uuid;

use super::App;
use crate::domain::voucher::VoucherRefusal;
use crate::error::Error;
use crate::store::entity::vouchers::redemption;
use crate::store::redemptions::{self, Of};
use crate::store::{audit, campaigns};

/// Redemptions that are read at a time: what they come to as text stays below a message's 64 KiB.
const PAGE: u64 = 100;

impl App {
    /// Reads all redemptions of a campaign, or of all when `campaign` is empty, oldest first, some at a time: as fast as
    /// they are taken, and with no query open in between. What is redeemed after the call is not part of it.
    ///
    /// # Errors
    /// [`VoucherRefusal::CampaignNotFound`]; [`Error::Database`], also later in the stream.
    pub(crate) async fn export_redemptions(
        &self,
        operator: Uuid,
        campaign: &str,
    ) -> Result<impl Stream<Item = Result<Vec<redemption::Model>, Error>> + Send + use<>, Error>
    {
        let of = if campaign.is_empty() {
            Of::All
        } else {
            Of::Campaign(campaign.to_owned())
        };
        let begun = self.begin_export(operator, &of, campaign).await;
        self.audit_refusal(operator, "voucher.export", campaign, begun)
            .await?;
        // Every redemption until here has an id that is not greater.
        let last = Uuid::now_v7();
        let store = self.store.clone();
        let pages = stream::try_unfold(None, move |after| {
            let (store, of) = (store.clone(), of.clone());
            async move {
                let page = redemptions::oldest(store.reader(), &of, after, last, PAGE).await?;
                let after = page.last().map(|row| row.id);
                Ok::<_, Error>(after.map(|after| (page, Some(after))))
            }
        });
        Ok(pages.into_stream())
    }

    async fn begin_export(&self, operator: Uuid, of: &Of, campaign: &str) -> Result<(), Error> {
        let tx = self.store.begin().await?;
        if *of != Of::All && campaigns::find(&tx, campaign).await?.is_none() {
            return Err(VoucherRefusal::CampaignNotFound.into());
        }
        let actor = operator.to_string();
        let now = self.now();
        audit::audit(&tx, &actor, "voucher.export", campaign, audit::DONE, now).await?;
        Ok(tx.commit().await?)
    }
}
