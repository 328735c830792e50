//! Campaigns of voucher codes: operators make, list and disable them.

mod claw_back;

use kinora_store::page::{Page, Sizes};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::App;
use crate::domain::Time;
use crate::domain::refusal::Refusal;
use crate::domain::request_id::check_request_id;
use crate::domain::voucher::{NewCampaign, VoucherRefusal};
use crate::domain::voucher_code::VoucherCode;
use crate::error::Error;
use crate::store::entity::vouchers::{campaign, voucher};
use crate::store::redemptions::Of;
use crate::store::{audit, campaigns, vouchers};

/// No more campaigns are listed.
const MAX_LISTED: u64 = 1000;

/// Codes in one statement.
const BATCH: usize = 500;

/// Of lists of codes.
const VOUCHERS: Sizes = Sizes {
    usual: 100,
    most: 1000,
};

/// A campaign, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CampaignView {
    pub(crate) row: campaign::Model,
    /// Of all codes.
    pub(crate) redemptions: u64,
}

/// What a request for a campaign made.
pub(crate) struct Created {
    pub(crate) campaign: CampaignView,
    /// Empty when the same request had made it before.
    pub(crate) codes: Vec<VoucherCode>,
}

impl App {
    /// Makes a campaign and its codes, all or none, unless the same request of this operator has done so. An empty
    /// `request_id` is none.
    ///
    /// # Errors
    /// [`Error::Field`], [`Refusal::PlanUnknown`], [`VoucherRefusal::CampaignExists`], [`Refusal::RequestIdReused`],
    /// [`Error::Database`].
    pub(crate) async fn create_campaign(
        &self,
        operator: Uuid,
        request_id: &str,
        new: &NewCampaign,
    ) -> Result<Created, Error> {
        let created = self.make_campaign(operator, request_id, new).await;
        self.audit_refusal(operator, "campaign.create", &new.name, created)
            .await
    }

    async fn make_campaign(
        &self,
        operator: Uuid,
        request_id: &str,
        new: &NewCampaign,
    ) -> Result<Created, Error> {
        let now = self.now();
        let request = request_of(operator, request_id)?;
        let sha256 = new.sha256()?;
        if let Some(earlier) = self.made_before(request.as_deref(), &sha256).await? {
            return Ok(earlier);
        }
        new.check(now)?;
        if !new.plan.is_empty() && self.plans.get(&new.plan).is_none() {
            return Err(Refusal::PlanUnknown.into());
        }
        let row = row_of(new, request.clone(), sha256.clone(), now)?;
        let (codes, vouchers) = self.new_codes(&row)?;
        if !self.write_campaign(operator, &row, &vouchers).await? {
            let earlier = self.made_before(request.as_deref(), &sha256).await?;
            return earlier.ok_or_else(|| VoucherRefusal::CampaignExists.into());
        }
        let campaign = CampaignView {
            row,
            redemptions: 0,
        };
        Ok(Created { campaign, codes })
    }

    /// False when somebody else was first, by the name or by the request.
    async fn write_campaign(
        &self,
        operator: Uuid,
        row: &campaign::Model,
        codes: &[voucher::Model],
    ) -> Result<bool, Error> {
        let tx = self.store.begin().await?;
        if !campaigns::insert(&tx, row.clone()).await? {
            return Ok(false);
        }
        for batch in codes.chunks(BATCH) {
            vouchers::insert(&tx, batch.to_vec()).await?;
        }
        let (actor, now) = (operator.to_string(), row.create_time);
        let result = format!("{}: {} codes", audit::DONE, codes.len());
        audit::audit(&tx, &actor, "campaign.create", &row.name, &result, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What the same request has made.
    async fn made_before(
        &self,
        request: Option<&str>,
        sha256: &str,
    ) -> Result<Option<Created>, Error> {
        let reader = self.store.reader();
        let Some(request) = request else {
            return Ok(None);
        };
        let Some(row) = campaigns::of_request(reader, request).await? else {
            return Ok(None);
        };
        if row.request_sha256 != sha256 {
            return Err(Refusal::RequestIdReused.into());
        }
        Ok(Some(Created {
            campaign: view_of(reader, row).await?,
            codes: Vec::new(),
        }))
    }

    /// Codes of a campaign, and the rows in which they are kept.
    fn new_codes(
        &self,
        campaign: &campaign::Model,
    ) -> Result<(Vec<VoucherCode>, Vec<voucher::Model>), Error> {
        let codes: Vec<VoucherCode> = (0..campaign.count)
            .map(|_| VoucherCode::generate())
            .collect::<Result<_, _>>()?;
        let row = |code: &VoucherCode| voucher::Model {
            id: Uuid::now_v7(),
            campaign: campaign.name.clone(),
            code_hmac: self.options.voucher_key.hash(code),
            hint: code.hint(),
            uses: 0,
            max_uses: campaign.max_uses,
            disable_time: None,
            last_use_time: None,
        };
        let rows = codes.iter().map(row).collect();
        Ok((codes, rows))
    }

    /// Lists campaigns, newest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) async fn list_campaigns(&self) -> Result<Vec<CampaignView>, Error> {
        let reader = self.store.reader();
        let rows = campaigns::newest(reader, MAX_LISTED).await?;
        let names = rows.iter().map(|row| row.name.clone()).collect();
        let counted = campaigns::redemptions(reader, names).await?;
        let view = |row: campaign::Model| CampaignView {
            redemptions: u64::try_from(counted.get(&row.name).copied().unwrap_or(0)).unwrap_or(0),
            row,
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// Lists the codes of a campaign by their hints, in the order in which they were made, with the token of the next
    /// page.
    ///
    /// # Errors
    /// [`VoucherRefusal::CampaignNotFound`], [`Refusal::PageTokenInvalid`], [`Error::Field`], [`Error::Database`].
    pub(crate) async fn list_vouchers(
        &self,
        campaign: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<voucher::Model>, String), Error> {
        let page = Page::of(VOUCHERS, &["vouchers", campaign], page_size, page_token)?;
        let reader = self.store.reader();
        if campaigns::find(reader, campaign).await?.is_none() {
            return Err(VoucherRefusal::CampaignNotFound.into());
        }
        let rows = vouchers::of_campaign(reader, campaign, page.after, page.rows()).await?;
        Ok(page.cut(rows, |row| row.id))
    }

    /// Ends a campaign: whoever redeems from now on is refused. With `claw_back` what is left of what was redeemed is taken
    /// back, and how many credits that were is answered; a call that broke off is gone on with by the next one.
    ///
    /// # Errors
    /// [`VoucherRefusal::CampaignNotFound`], [`Error::Database`].
    pub(crate) async fn disable_campaign(
        &self,
        operator: Uuid,
        name: &str,
        claw_back: bool,
    ) -> Result<(CampaignView, u64), Error> {
        let done = self.end_campaign(operator, name).await;
        self.audit_refusal(operator, "campaign.disable", name, done)
            .await?;
        let mut credits = 0;
        if claw_back {
            let of = Of::Campaign(name.to_owned());
            credits = self.claw_back(operator, &of, name).await?;
        }
        let reader = self.store.reader();
        let row = campaigns::find(reader, name).await?;
        let view = view_of(reader, row.ok_or(VoucherRefusal::CampaignNotFound)?).await?;
        Ok((view, credits))
    }

    async fn end_campaign(&self, operator: Uuid, name: &str) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        if campaigns::find(&tx, name).await?.is_none() {
            return Err(VoucherRefusal::CampaignNotFound.into());
        }
        campaigns::disable(&tx, name, now).await?;
        let actor = operator.to_string();
        audit::audit(&tx, &actor, "campaign.disable", name, audit::DONE, now).await?;
        Ok(tx.commit().await?)
    }

    /// As [`App::disable_campaign`], for one code.
    ///
    /// # Errors
    /// [`VoucherRefusal::VoucherNotFound`], [`Error::Database`].
    pub(crate) async fn disable_voucher(
        &self,
        operator: Uuid,
        id: Uuid,
        claw_back: bool,
    ) -> Result<(voucher::Model, u64), Error> {
        let target = id.to_string();
        let done = self.end_voucher(operator, id).await;
        self.audit_refusal(operator, "voucher.disable", &target, done)
            .await?;
        let mut credits = 0;
        if claw_back {
            credits = self.claw_back(operator, &Of::Voucher(id), &target).await?;
        }
        let row = vouchers::find(self.store.reader(), id).await?;
        Ok((row.ok_or(VoucherRefusal::VoucherNotFound)?, credits))
    }

    async fn end_voucher(&self, operator: Uuid, id: Uuid) -> Result<(), Error> {
        let now = self.now();
        let tx = self.store.begin().await?;
        let row = vouchers::find(&tx, id).await?;
        let row = row.ok_or(VoucherRefusal::VoucherNotFound)?;
        vouchers::disable(&tx, id, now).await?;
        let result = format!("{}: ..{} of {}", audit::DONE, row.hint, row.campaign);
        let (actor, target) = (operator.to_string(), id.to_string());
        audit::audit(&tx, &actor, "voucher.disable", &target, &result, now).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
impl Created {
    /// A campaign with so many codes, as if it had been made.
    pub(crate) fn of_codes(new: &NewCampaign, codes: usize) -> Self {
        let row = row_of(new, None, String::new(), Time::default());
        let codes = (0..codes).map(|_| VoucherCode::generate().expect("there are random bytes"));
        Self {
            campaign: CampaignView {
                row: row.expect("it fits"),
                redemptions: 0,
            },
            codes: codes.collect(),
        }
    }
}

/// A request is its operator's own: two who choose the same id ask for two campaigns.
fn request_of(operator: Uuid, request_id: &str) -> Result<Option<String>, Error> {
    if request_id.is_empty() {
        return Ok(None);
    }
    check_request_id(request_id)?;
    Ok(Some(format!("{operator}/{request_id}")))
}

fn row_of(
    new: &NewCampaign,
    request: Option<String>,
    request_sha256: String,
    now: Time,
) -> Result<campaign::Model, Error> {
    // It was checked before: all of them fit.
    let number = |number: u32| {
        i32::try_from(number).map_err(|_| Error::Broken("a number does not fit".to_owned()))
    };
    let credits = i64::try_from(new.credits);
    Ok(campaign::Model {
        name: new.name.clone(),
        request,
        request_sha256,
        count: number(new.count)?,
        credits: credits.map_err(|_| Error::Broken("credits do not fit".to_owned()))?,
        access: new.access,
        plan: new.plan.clone(),
        max_uses: number(new.max_uses)?,
        per_user: number(new.per_user)?,
        start_time: new.start_time.unwrap_or(now),
        expire_time: new.expire_time,
        grant_expire_time: new.grant_expire_time,
        notes: new.notes.clone(),
        create_time: now,
        disable_time: None,
    })
}

async fn view_of(db: &impl ConnectionTrait, row: campaign::Model) -> Result<CampaignView, Error> {
    let counted = campaigns::redemptions(db, vec![row.name.clone()]).await?;
    let redemptions = counted.get(&row.name).copied().unwrap_or(0);
    Ok(CampaignView {
        row,
        redemptions: u64::try_from(redemptions).unwrap_or(0),
    })
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
