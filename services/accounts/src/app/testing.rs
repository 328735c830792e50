//! An application on a database of its own, for tests.

pub(crate) mod people;

use std::sync::Arc;

use kinora_mesh::secret::Secret;
use kinora_store::{Database, DatabaseUrl};
use sea_orm::ActiveValue::Set;
use sea_orm::{EntityTrait, QueryOrder};
use uuid::Uuid;

use super::App;
use crate::clock::testing::ManualClock;
use crate::config::AccountsOptions;
use crate::domain::caller::Caller;
use crate::store::Store;
use crate::store::entity::people::{mail, user};

/// The use cases, and the hands of their clock.
pub(crate) struct TestApp {
    pub(crate) app: Arc<App>,
    pub(crate) clock: Arc<ManualClock>,
}

impl TestApp {
    pub(crate) async fn on(url: &DatabaseUrl) -> Self {
        Self::with(url, AccountsOptions::new(url.clone(), sealing_key())).await
    }

    pub(crate) async fn with(url: &DatabaseUrl, options: AccountsOptions) -> Self {
        let db = Database::connect(url).await.expect("opens");
        kinora_migrations::accounts::migrate(db.writer())
            .await
            .expect("the schema");
        let clock = Arc::new(ManualClock::new());
        let app = App::new(Store::new(db), Arc::clone(&clock) as _, options);
        Self {
            app: Arc::new(app.expect("the options are legal")),
            clock,
        }
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
        }
    }

    /// The mails that wait to be sent, oldest first.
    pub(crate) async fn mails(&self) -> Vec<mail::Model> {
        let query = mail::Entity::find().order_by_asc(mail::Column::Id);
        let mails = query.all(self.app.store.reader()).await;
        mails.expect("the outbox reads")
    }
}

pub(crate) fn sealing_key() -> Secret {
    Secret::new("42".repeat(32))
}
