//! What metrics show of the queue and of the workers.

use super::*;
use crate::domain::job::Priority;
use crate::metrics::{Load, QueueLoad, SettlementLoad, WorkerLoad};

kinora_store::on_both_databases! {
    async fn load_is_by_model_and_class_and_says_who_works(url: DatabaseUrl) {
        let store = open(&url).await;
        let minute = Duration::from_secs(60);
        let empty = Load { settlements: Some(SettlementLoad::default()), ..Load::default() };
        assert_eq!(store.load(now(), minute).await.expect("sums up"), empty);
        for seconds in [10, 20] {
            let estimated_cost = Duration::from_secs(seconds);
            submit_as(&store, Job { estimated_cost, ..new_job("anna", "tiny") }).await;
        }
        let (priority, run_at) = (Priority::Batch, later(500));
        let estimated_cost = Duration::from_millis(1500);
        let late = Job { priority, run_at, estimated_cost, ..new_job("ben", "tiny") };
        submit_as(&store, late).await;
        let (session, _) = attach(&store, "w", 2, &[]).await;
        attach(&store, "cordoned", 1, &[]).await;
        let wishes = Wishes { is_cordoned: true, is_drained: false };
        assert!(store.set_wishes("cordoned", wishes).await.expect("cordons"));
        let (gone, _) = attach(&store, "gone", 1, &[]).await;
        store.detach("gone", gone).await.expect("detaches");
        let leased = claim(&store, "w", session, 1).await;
        let load = store.load(later(30), minute).await.expect("sums up");
        let standard = QueueLoad {
            queued: 1,
            oldest: Some(Duration::from_secs(30)),
            device_time: Duration::from_secs(20),
            running: 1,
            ..QueueLoad::empty("tiny".to_owned(), Priority::Standard)
        };
        let batch = QueueLoad {
            queued: 1,
            device_time: estimated_cost,
            ..QueueLoad::empty("tiny".to_owned(), Priority::Batch)
        };
        assert_eq!(load.queues, [standard, batch]);
        assert_eq!(load.workers, WorkerLoad { active: 1, draining: 1, silent: 1 });

        assert!(finish(&store, "w", &leased[0]).await);
        submit(&store, "anna").await;
        let load = store.load(later(61), minute).await.expect("sums up");
        let standard = &load.queues[0];
        assert_eq!((standard.queued, standard.running), (2, 0));
        assert_eq!(load.workers, WorkerLoad { silent: 3, ..WorkerLoad::default() });
    }
}
