//! Tenants and owners: their shares of the machines, and how much they may run and queue.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait, FromQueryResult};

use super::entity::tenant;
use super::lanes::unblock;
use super::rows::count;
use super::sql::{FOR_UPDATE, Sql};
use super::{JobStore, JobStoreError};
use crate::policy::Usage;

/// The share of a tenant that has none of its own.
const USUAL_WEIGHT: u32 = 100;

/// Jobs that may run at a time where nothing else is said; 0 for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Of an owner.
    pub max_running_per_owner: u32,
    /// Of a tenant.
    pub max_running_per_tenant: u32,
}

/// A tenant's share and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name.
    pub id: String,
    /// Share of the machines relative to others, 1 to 1000.
    pub weight: u32,
    /// Jobs that run at a time; 0 for no limit, none for the default.
    pub max_running: Option<u32>,
    /// Jobs that wait; 0 for no limit, none for the default.
    pub max_queued: Option<u32>,
}

/// What to set of a tenant; the rest stays. The default sets nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Share of the machines.
    pub weight: Option<u32>,
    /// Jobs that run at a time; 0 for no limit.
    pub max_running: Option<u32>,
    /// Jobs that wait; 0 for no limit.
    pub max_queued: Option<u32>,
}

/// Tenants and owners by name, in the order in which they are locked.
#[derive(Clone, Debug, Default)]
pub struct Parties {
    pub tenants: BTreeSet<String>,
    /// With their tenants.
    pub owners: BTreeSet<(String, String)>,
}

/// What the parties use and may use.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    pub tenants: HashMap<String, Usage>,
    pub owners: HashMap<String, Usage>,
    pub weights: HashMap<String, u32>,
}

#[derive(FromQueryResult)]
struct Row {
    is_tenant: bool,
    name: String,
    weight: Option<i32>,
    max_running: Option<i32>,
    running: i64,
}

impl Parties {
    pub fn add(&mut self, tenant: &str, owner: &str) {
        self.tenants.insert(tenant.to_owned());
        self.owners.insert((owner.to_owned(), tenant.to_owned()));
    }

    fn owner_names(&self) -> impl Iterator<Item = &str> {
        self.owners.iter().map(|(owner, _)| owner.as_str())
    }

    fn tenant_names(&self) -> impl Iterator<Item = &str> {
        self.tenants.iter().map(String::as_str)
    }

    /// Locks the parties' rows until the end of the transaction, and makes those that are missing.
    ///
    /// All tenants come before all owners, also those that are made: otherwise two who meet a new tenant could each hold
    /// what the other waits for.
    pub async fn lock(&self, tx: &DatabaseTransaction) -> Result<(), JobStoreError> {
        if self.lock_tenants(tx).await? < self.tenants.len() {
            self.make_tenants(tx).await?;
            self.lock_tenants(tx).await?;
        }
        if self.lock_owners(tx).await? < self.owners.len() {
            self.make_owners(tx).await?;
            self.lock_owners(tx).await?;
        }
        Ok(())
    }

    /// Returns how many there are.
    async fn lock_tenants(&self, tx: &DatabaseTransaction) -> Result<usize, JobStoreError> {
        let backend = tx.get_database_backend();
        let tenants = Sql::new(backend, "SELECT id FROM tenant WHERE id")
            .any_name(self.tenant_names())
            .then(" ORDER BY id")
            .locked(FOR_UPDATE);
        Ok(tx.query_all_raw(tenants.build()).await?.len())
    }

    /// Returns how many there are.
    async fn lock_owners(&self, tx: &DatabaseTransaction) -> Result<usize, JobStoreError> {
        let backend = tx.get_database_backend();
        let owners = Sql::new(backend, "SELECT owner FROM account WHERE owner")
            .any_name(self.owner_names())
            .then(" ORDER BY owner")
            .locked(FOR_UPDATE);
        Ok(tx.query_all_raw(owners.build()).await?.len())
    }

    async fn make_tenants(&self, tx: &DatabaseTransaction) -> Result<(), JobStoreError> {
        for tenant in &self.tenants {
            let backend = tx.get_database_backend();
            let insert = Sql::new(backend, "INSERT INTO tenant (id, weight) VALUES (")
                .bind(tenant)
                .then(", ")
                .bind(USUAL_WEIGHT.cast_signed())
                .then(") ON CONFLICT (id) DO NOTHING");
            tx.execute_raw(insert.build()).await?;
        }
        Ok(())
    }

    async fn make_owners(&self, tx: &DatabaseTransaction) -> Result<(), JobStoreError> {
        for (owner, tenant) in &self.owners {
            let backend = tx.get_database_backend();
            let insert = Sql::new(backend, "INSERT INTO account (owner, tenant) VALUES (")
                .bind(owner)
                .then(", ")
                .bind(tenant)
                .then(") ON CONFLICT (owner) DO NOTHING");
            tx.execute_raw(insert.build()).await?;
        }
        Ok(())
    }
}

impl JobStore {
    /// What parties use at the moment. Under their locks this is exact.
    pub(super) async fn standing(
        &self,
        db: &impl ConnectionTrait,
        parties: &Parties,
    ) -> Result<Standing, JobStoreError> {
        // All are counted in one go: one by one the planner may well scan all that runs for each.
        let running = Sql::new(
            self.backend(),
            "WITH running AS (SELECT tenant, owner, COUNT(*) AS jobs FROM job WHERE state = 'running' AND tenant",
        )
        .any_name(parties.tenant_names())
        .then(" GROUP BY tenant, owner) ");
        let count = |condition| {
            format!(
                "(SELECT CAST(COALESCE(SUM(jobs), 0) AS BIGINT) FROM running WHERE {condition})"
            )
        };
        let of_tenant = count("running.tenant = party.id");
        let of_owner = count("running.owner = party.owner");
        self.read_standing(db, parties, running, (&of_tenant, &of_owner))
            .await
    }

    /// What parties may use; nothing is counted.
    pub(super) async fn limits_of(
        &self,
        db: &impl ConnectionTrait,
        parties: &Parties,
    ) -> Result<Standing, JobStoreError> {
        let none = "CAST(0 AS BIGINT)";
        self.read_standing(db, parties, Sql::new(self.backend(), ""), (none, none))
            .await
    }

    async fn read_standing(
        &self,
        db: &impl ConnectionTrait,
        parties: &Parties,
        with: Sql,
        (of_tenant, of_owner): (&str, &str),
    ) -> Result<Standing, JobStoreError> {
        let tenants = format!(
            "SELECT TRUE AS is_tenant, id AS name, weight, max_running, {of_tenant} AS running \
             FROM tenant AS party WHERE id"
        );
        let owners = format!(
            " UNION ALL SELECT FALSE, owner, CAST(NULL AS INTEGER), max_running, {of_owner} \
             FROM account AS party WHERE owner"
        );
        let query = with
            .then(&tenants)
            .any_name(parties.tenant_names())
            .then(&owners)
            .any_name(parties.owner_names());
        let rows = Row::find_by_statement(query.build()).all(db).await?;
        let usage = |row: &Row, default: u32| Usage {
            running: u32::try_from(row.running).unwrap_or(u32::MAX),
            max_running: row.max_running.map_or(default, i32::cast_unsigned),
        };
        let mut standing = Standing::default();
        for row in rows {
            if row.is_tenant {
                let weight = row.weight.map_or(USUAL_WEIGHT, i32::cast_unsigned);
                standing.weights.insert(row.name.clone(), weight.max(1));
                let usage = usage(&row, self.caps.max_running_per_tenant);
                standing.tenants.insert(row.name, usage);
            } else {
                let usage = usage(&row, self.caps.max_running_per_owner);
                standing.owners.insert(row.name, usage);
            }
        }
        Ok(standing)
    }

    /// A tenant's share and limits; the usual ones when nothing was set.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn tenant(&self, id: &str) -> Result<Tenant, JobStoreError> {
        let row = tenant::Entity::find_by_id(id).one(self.db.reader()).await?;
        Ok(row.map_or_else(
            || Tenant {
                id: id.to_owned(),
                weight: USUAL_WEIGHT,
                max_running: None,
                max_queued: None,
            },
            tenant_from_row,
        ))
    }

    /// Sets a tenant's share and limits. They hold from the next claim and submission on.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn set_tenant(
        &self,
        id: &str,
        change: TenantChange,
    ) -> Result<Tenant, JobStoreError> {
        let mut parties = Parties::default();
        parties.tenants.insert(id.to_owned());
        let tx = self.begin().await?;
        parties.lock(&tx).await?;
        let signed =
            |value: Option<u32>| value.map(|value| i32::try_from(value).unwrap_or(i32::MAX));
        let update = Sql::new(self.backend(), "UPDATE tenant SET weight = COALESCE(")
            .bind(signed(change.weight.map(|weight| weight.clamp(1, 1000))))
            .then(", weight), max_running = COALESCE(")
            .bind(signed(change.max_running))
            .then(", max_running), max_queued = COALESCE(")
            .bind(signed(change.max_queued))
            .then(", max_queued) WHERE id = ")
            .bind(id);
        tx.execute_raw(update.build()).await?;
        // A higher limit lets them through; a lower one is noticed when they are looked at.
        unblock(&tx, "tenant", id).await?;
        tx.commit().await?;
        self.tenant(id).await
    }

    /// Sets how many jobs of an owner may run at a time, 0 for no limit, none for the default.
    ///
    /// # Errors
    /// [`JobStoreError`] when the database fails.
    pub async fn set_owner_max_running(
        &self,
        owner: &str,
        max_running: Option<u32>,
    ) -> Result<(), JobStoreError> {
        let mut parties = Parties::default();
        parties.add(crate::domain::job::tenant_of(owner), owner);
        let tx = self.begin().await?;
        parties.lock(&tx).await?;
        let max_running = max_running.map(|max| i32::try_from(max).unwrap_or(i32::MAX));
        let update = Sql::new(self.backend(), "UPDATE account SET max_running = ")
            .bind(max_running)
            .then(" WHERE owner = ")
            .bind(owner);
        tx.execute_raw(update.build()).await?;
        unblock(&tx, "owner", owner).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn tenant_from_row(row: tenant::Model) -> Tenant {
    let unsigned = |value: i32| u32::try_from(count(value.into())).unwrap_or(0);
    Tenant {
        id: row.id,
        weight: unsigned(row.weight),
        max_running: row.max_running.map(unsigned),
        max_queued: row.max_queued.map(unsigned),
    }
}

/// Whether a limit leaves no room.
pub const fn is_full(usage: Usage) -> bool {
    usage.max_running > 0 && usage.running >= usage.max_running
}
