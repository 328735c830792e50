//! People for tests, straight from the tables.

use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use uuid::Uuid;

use super::TestApp;
use crate::domain::caller::Caller;
use crate::domain::origin::Origin;
use crate::store::entity::people::user;
use crate::store::entity::trust::audit;
use crate::store::users;

impl TestApp {
    /// A person who may sign in, as `<name>@example.org`.
    pub(crate) async fn person(&self, name: &str) -> Caller {
        self.user(&format!("{name}@example.org")).await
    }

    /// A person who administers the platform.
    pub(crate) async fn operator(&self, name: &str) -> Caller {
        let is_operator = user::ActiveModel {
            is_operator: Set(true),
            ..Default::default()
        };
        let mut caller = self.person(name).await;
        caller.is_operator = true;
        self.changed(caller.id, is_operator).await;
        caller
    }

    /// Changes what is set of a person.
    pub(crate) async fn changed(&self, id: Uuid, change: user::ActiveModel) {
        let tx = self.app.store.begin().await.unwrap();
        users::update(&tx, id, change).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Somebody who has signed in just now.
    pub(crate) fn caller(&self, id: Uuid, is_operator: bool) -> Caller {
        Caller {
            id,
            session: Uuid::now_v7(),
            organisation: None,
            scopes: vec!["account".to_owned()],
            assurance: 1,
            auth_time: self.app.now(),
            is_operator,
            origin: Origin::default(),
        }
    }

    /// The row of a person.
    pub(crate) async fn row_of(&self, id: Uuid) -> user::Model {
        let found = user::Entity::find_by_id(id).one(self.app.store.reader());
        found.await.unwrap().expect("the user is there")
    }

    /// The actions of the audit log, in their order.
    pub(crate) async fn audited(&self) -> Vec<String> {
        let lines = audit::Entity::find().all(self.app.store.reader());
        let mut lines = lines.await.unwrap();
        lines.sort_by_key(|line| line.id);
        lines.into_iter().map(|line| line.action).collect()
    }
}

/// Somewhere.
pub(crate) fn somewhere() -> Origin {
    Origin::new("192.0.2.7", "a browser")
}
