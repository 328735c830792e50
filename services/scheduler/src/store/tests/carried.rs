//! Jobs of the layout before this one.

use sea_orm_migration::MigratorTrait;

use super::*;
use crate::domain::job::State;
use sql::Sql;

/// The tables before jobs had lanes.
async fn older(url: &DatabaseUrl) -> Database {
    let db = Database::connect(url).await.expect("opens");
    let migrated = kinora_migrations::scheduler::Migrator::up(db.writer(), Some(2));
    migrated.await.expect("migrates");
    db
}

async fn insert(db: &Database, job: &Job, state: &str, end_time: Option<Time>) {
    let backend = db.writer().get_database_backend();
    let row = Sql::new(
        backend,
        "INSERT INTO job (id, owner, state, model, spec, progress, notes, attempt, failed_attempts, lease, seq, \
         run_at, create_time, end_time) VALUES (",
    )
    .bind(job.id.as_uuid())
    .then(", ")
    .bind(&job.owner)
    .then(", ")
    .bind(state)
    .then(", ")
    .bind(&job.spec.model)
    .then(", ")
    .bind(serde_json::to_value(&job.spec).expect("a value"))
    .then(", ")
    .bind(serde_json::to_value(&job.progress).expect("a value"))
    .then(", ")
    .bind(serde_json::json!(["a note"]))
    .then(", 0, 0, 0, 1, ")
    .bind(job.create_time)
    .then(", ")
    .bind(job.create_time)
    .then(", ")
    .bind(end_time)
    .then(")");
    db.writer().execute_raw(row.build()).await.expect("inserts");
}

kinora_store::on_both_databases! {
    async fn jobs_of_the_older_layout_are_carried_over(url: DatabaseUrl) {
        let db = older(&url).await;
        let [waiting, ended] = [new_job("studio:anna", "tiny"), new_job("studio:anna", "tiny")];
        insert(&db, &waiting, "queued", None).await;
        insert(&db, &ended, "cancelled", Some(later(60))).await;
        let key = Sql::new(db.writer().get_database_backend(), "INSERT INTO submission VALUES (")
            .bind("studio:anna").then(", ").bind("r1").then(", ").bind("f1").then(", ")
            .bind(waiting.id.as_uuid()).then(")");
        db.writer().execute_raw(key.build()).await.expect("inserts");
        db.close().await.expect("closes");

        let store = open(&url).await;
        store.prepare(now()).await.expect("prepares");
        assert_eq!(store.promote(now()).await.expect("promotes"), 1);
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let leased = claim(&store, "w", session, 1).await;
        assert_eq!(leased.iter().map(|job| job.id).collect::<Vec<_>>(), [waiting.id]);
        assert_eq!((&leased[0].prompting, leased[0].original_prompt()), (&None, waiting.spec.prompt.as_str()));
        assert_eq!((&leased[0].spec, leased[0].tenant.as_str()), (&waiting.spec, "studio"));
        let previous = store.previous("studio:anna", "id:r1", now()).await.expect("reads");
        assert_eq!(previous.map(|it| it.fingerprint), Some("f1".to_owned()));
        let read = store.get("studio:anna", ended.id).await.expect("reads").expect("the job");
        assert_eq!((read.state, read.end_time), (State::Cancelled, Some(later(60))));
        // It is forgotten after the default retention.
        let day = 24 * 60 * 60;
        assert_eq!(store.purge_due(later(30 * day), 9).await.expect("purges"), []);
        let purged = store.purge_due(later(30 * day + 61), 9).await.expect("purges");
        assert_eq!(purged, [ended.id]);
    }
}
