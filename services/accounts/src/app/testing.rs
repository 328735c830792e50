//! An application on a database of its own, for tests.

use std::sync::Arc;

use kinora_mesh::secret::Secret;
use kinora_store::{Database, DatabaseUrl};

use super::App;
use crate::clock::testing::ManualClock;
use crate::config::AccountsOptions;
use crate::store::Store;

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
}

pub(crate) fn sealing_key() -> Secret {
    Secret::new("42".repeat(32))
}
