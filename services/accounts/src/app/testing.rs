//! An application on a database of its own, for tests.

pub(crate) mod people;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kinora_access::Claims;
use kinora_mesh::secret::Secret;
use kinora_store::{Database, DatabaseUrl};
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder};
use uuid::Uuid;

use super::App;
use crate::clock::testing::ManualClock;
use crate::config::AccountsOptions;
use crate::domain::caller::{Caller, Role};
use crate::domain::origin::Origin;
use crate::domain::refusal::Refusal;
use crate::error::Error;
use crate::store::Store;
use crate::store::entity::people::{mail, user};
use crate::store::entity::programs::{membership, organisation, service_account};
use crate::store::subjects::role_code;

/// The use cases, and the hands of their clock.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<ManualClock>,
}

impl TestApp {
    pub(crate) async fn on(url: &DatabaseUrl) -> Self {
        Self::with(url, Self::options(url)).await
    }

    /// Defaults, but for hashes that cost nothing.
    pub(crate) fn options(url: &DatabaseUrl) -> AccountsOptions {
        AccountsOptions {
            password_hash_memory_kib: 8,
            password_hash_passes: 1,
            ..AccountsOptions::new(url.clone(), sealing_key())
        }
    }

    pub(crate) async fn with(url: &DatabaseUrl, options: AccountsOptions) -> Self {
        let started = Self::try_with(url, options).await;
        started.expect("the options are legal")
    }

    pub(crate) async fn try_with(
        url: &DatabaseUrl,
        options: AccountsOptions,
    ) -> Result<Self, Error> {
        let db = Database::connect(url).await.expect("opens");
        kinora_migrations::accounts::migrate(db.writer())
            .await
            .expect("the schema");
        let clock = Arc::new(ManualClock::new());
        let app = App::new(Store::new(db), Arc::clone(&clock) as _, options)?;
        app.prepare().await?;
        Ok(Self {
            app: Arc::new(app),
            clock,
        })
    }

    /// A person with an account and no password, who has just signed in. `email` is in lower case.
    pub(crate) async fn user(&self, email: &str) -> Caller {
        let now = self.app.now();
        let id = Uuid::now_v7();
        let row = user::ActiveModel {
            id: Set(id),
            email: Set(email.to_owned()),
            email_key: Set(email.to_owned()),
            display_name: Set(String::new()),
            password_hash: Set(None),
            password_time: Set(None),
            state: Set(1),
            is_operator: Set(false),
            terms_version: Set(0),
            age_assurance: Set(1),
            age_method: Set(String::new()),
            age_is_adult: Set(false),
            age_time: Set(None),
            create_time: Set(now),
            erase_time: Set(None),
            password_is_initial: Set(false),
        };
        let tx = self.app.store.begin().await.expect("begins");
        let insert = user::Entity::insert(row).exec_without_returning(&tx).await;
        insert.expect("the address is free");
        tx.commit().await.expect("commits");
        Caller {
            id,
            session: Uuid::now_v7(),
            organisation: None,
            scopes: ["videos:read", "videos:write", "webhooks", "account", "org"]
                .map(str::to_owned)
                .to_vec(),
            assurance: 1,
            auth_time: now,
            is_operator: false,
            origin: Origin::default(),
        }
    }

    /// An organisation in which a user has a role.
    pub(crate) async fn organisation_of(&self, user: Uuid, role: Role) -> Uuid {
        let now = self.app.now();
        let id = Uuid::now_v7();
        let organisation = organisation::Model {
            id,
            name: "Analytical Engines".to_owned(),
            create_time: now,
            delete_time: None,
        };
        let membership = membership::Model {
            organisation_id: id,
            user_id: user,
            role: role_code(role),
            join_time: now,
        };
        let tx = self.app.store.begin().await.expect("begins");
        let insert = organisation::Entity::insert(organisation.into_active_model());
        insert.exec_without_returning(&tx).await.expect("is new");
        let insert = membership::Entity::insert(membership.into_active_model());
        insert.exec_without_returning(&tx).await.expect("is new");
        tx.commit().await.expect("commits");
        id
    }

    /// A program of an organisation.
    pub(crate) async fn program_of(&self, organisation: Uuid) -> Uuid {
        let id = Uuid::now_v7();
        let program = service_account::Model {
            id,
            organisation_id: organisation,
            name: "renderer".to_owned(),
            create_time: self.app.now(),
            delete_time: None,
        };
        let tx = self.app.store.begin().await.expect("begins");
        let insert = service_account::Entity::insert(program.into_active_model());
        insert.exec_without_returning(&tx).await.expect("is new");
        tx.commit().await.expect("commits");
        id
    }

    /// The mails that wait to be sent, oldest first.
    pub(crate) async fn mails(&self) -> Vec<mail::Model> {
        let query = mail::Entity::find().order_by_asc(mail::Column::Id);
        let mails = query.all(self.app.store.reader()).await;
        mails.expect("the outbox reads")
    }
}

/// Why something was refused.
pub(crate) fn refusal_of<T>(result: Result<T, Error>) -> Refusal {
    match result {
        Err(Error::Refused(refusal)) => refusal,
        Err(error) => panic!("it failed instead of being refused: {error:?}"),
        Ok(_) => panic!("it was done"),
    }
}

pub(crate) fn sealing_key() -> Secret {
    Secret::new("42".repeat(32))
}

/// What a token says, whoever has signed it.
pub(crate) fn claims(token: &str) -> Claims {
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("claims")
}

/// The code in a mail: it stands on a line of its own.
pub(crate) fn code_in(body: &str) -> String {
    let is_code = |line: &&str| line.len() == 43 && !line.contains(' ');
    body.lines().find(is_code).expect("a code").to_owned()
}
