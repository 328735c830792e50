use std::collections::HashSet;

use super::*;
use crate::domain::job::State;

kinora_store::on_both_databases! {
    async fn attaching_settles_leases(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..4 {
            submit(&store, "anna").await;
        }
        let (session, _) = attach(&store, "w", 4, &[]).await;
        let jobs = claim(&store, "w", session, 4).await;
        assert!(finish(&store, "w", &jobs[0]).await);
        let stranger = LeaseRef { job: JobId::generate(), lease: 1 };
        let old = LeaseRef { lease: 0, ..jobs[2].newest_lease() };
        // Completed: its receipt may be lost. Running: goes on. Old and unknown: stale. The fourth: forgotten.
        let held = [jobs[0].newest_lease(), jobs[1].newest_lease(), old, stranger];
        let (_, reconciled) = attach(&store, "w", 4, &held).await;
        assert_eq!(reconciled.standing, held[..2]);
        assert_eq!(reconciled.stale, held[2..]);
        let requeued: HashSet<JobId> = reconciled.events.iter().map(|event| event.job).collect();
        assert_eq!(requeued, HashSet::from([jobs[2].id, jobs[3].id]));
        let again = store.get("anna", jobs[3].id).await.expect("reads").expect("the job");
        assert_eq!((again.state, again.lease, again.failed_attempts), (State::Queued, 1, 1));
        let (_, other) = attach(&store, "w2", 4, &[jobs[1].newest_lease()]).await;
        assert_eq!(other.stale, [jobs[1].newest_lease()], "another worker's lease");
    }

    async fn lease_that_never_reached_its_worker_is_told_again(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..2 {
            submit(&store, "anna").await;
        }
        let hello = |instance: &str, held: &[LeaseRef]| Attachment {
            instance: instance.to_owned(),
            ..attachment("w", 2, held)
        };
        let first = hello("i1", &[]);
        attach_as(&store, &first).await;
        let jobs = claim(&store, "w", first.session, 2).await;
        // Its stream ended when it had heard of one of the two.
        let known = [jobs[0].newest_lease()];
        let newest = hello("i1", &known);
        let again = attach_as(&store, &newest).await;
        assert_eq!((again.standing, again.untold), (known.to_vec(), jobs[1..].to_vec()));
        assert_eq!(again.events, []);
        store.detach("w", newest.session).await.expect("detaches");
        // A process that has just begun has lost what the one before it knew.
        let restarted = attach_as(&store, &hello("i2", &known)).await;
        assert_eq!(restarted.untold, []);
        assert_eq!(restarted.events.iter().map(|event| event.job).collect::<Vec<_>>(), [jobs[1].id]);
    }

    async fn long_silent_workers_are_forgotten_unless_they_run_something_or_are_cordoned(url: DatabaseUrl) {
        let store = open(&url).await;
        submit(&store, "anna").await;
        for name in ["gone", "cordoned"] {
            attach(&store, name, 1, &[]).await;
        }
        let (session, _) = attach(&store, "busy", 1, &[]).await;
        assert_eq!(claim(&store, "busy", session, 1).await.len(), 1);
        let cordon = Wishes { is_cordoned: true, ..Wishes::default() };
        assert!(store.set_wishes("cordoned", cordon).await.expect("cordons"));
        assert_eq!(store.forget_workers(now()).await.expect("looks"), 0);
        assert_eq!(store.forget_workers(later(1)).await.expect("forgets"), 1);
        let left = store.workers(now()).await.expect("reads");
        let names: Vec<&str> = left.iter().map(|worker| worker.id.as_str()).collect();
        assert_eq!(names, ["busy", "cordoned"]);
    }

    async fn a_name_is_taken_while_its_instance_is_attached_and_heard(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        let of = |instance: &str| Attachment { instance: instance.to_owned(), ..attachment("w", 1, &[]) };
        let (first, second) = (of("i1"), of("i2"));
        attach_as(&store, &first).await;
        let claimed = claim(&store, "w", first.session, 1).await;
        let is_refused = async |at: i64| {
            let attached = store.attach(&second, later(at), later(at - 5), lose).await;
            attached.expect("answers").is_none()
        };
        let row = async || store.workers(now()).await.expect("reads").remove(0);
        let before = row().await;
        assert!(is_refused(0).await && is_refused(5).await);
        assert_eq!(row().await, before);
        assert_eq!(read(&store, &job).await, claimed[0], "it runs on");
        // Those that do not tell, on either side, and the same process may come at any time.
        let again = of("i1");
        assert_eq!(attach_as(&store, &again).await.untold, claimed);
        store.heartbeat("w", again.session, false, None, later(5)).await.expect("renews");
        assert!(is_refused(10).await);
        assert!(!is_refused(11).await, "it fell silent");
        assert_eq!(row().await.session, second.session);
        store.detach("w", second.session).await.expect("detaches");
        attach_as(&store, &of("i3")).await;
        attach_as(&store, &of("")).await;
        attach_as(&store, &of("i4")).await;
    }

    async fn of_two_new_instances_one_gets_the_name(url: DatabaseUrl) {
        let store = open(&url).await;
        let of = |instance: &str| Attachment { instance: instance.to_owned(), ..attachment("w", 1, &[]) };
        let (first, second) = (of("i1"), of("i2"));
        let attach = |attachment| store.attach(attachment, now(), later(-5), lose);
        let (one, other) = tokio::join!(attach(&first), attach(&second));
        let (one, other) = (one.expect("answers"), other.expect("answers"));
        assert_ne!(one.is_some(), other.is_some());
        let winner = if one.is_some() { &first } else { &second };
        assert_eq!(store.workers(now()).await.expect("reads").remove(0).instance, winner.instance);
    }

    async fn silent_workers_and_overdue_attempts_lapse(url: DatabaseUrl) {
        let store = open(&url).await;
        let first = submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        claim(&store, "w", session, 1).await;
        let lapsed = async |silent_since, now| {
            let lapsed = store.lapsed(silent_since, now, None, 9).await.expect("reads");
            lapsed.jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
        };
        assert_eq!(lapsed(now(), now()).await, []);
        assert_eq!(lapsed(later(1), now()).await, [first.id]);
        store.heartbeat("w", session, false, None, later(2)).await.expect("renews");
        assert_eq!(lapsed(later(1), now()).await, []);
        assert_eq!(lapsed(later(1), later(61)).await, [first.id]);
    }

    async fn lapsed_attempts_are_read_some_at_a_time(url: DatabaseUrl) {
        let store = open(&url).await;
        for _ in 0..5 {
            submit(&store, "anna").await;
        }
        let (session, _) = attach(&store, "w", 5, &[]).await;
        let all: HashSet<JobId> = claim(&store, "w", session, 5).await.iter().map(|job| job.id).collect();
        let (mut seen, mut sizes, mut after) = (HashSet::new(), Vec::new(), None);
        loop {
            let lapsed = store.lapsed(later(1), now(), after, 2).await.expect("reads");
            sizes.push(lapsed.jobs.len());
            seen.extend(lapsed.jobs.iter().map(|job| job.id));
            after = lapsed.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((seen, sizes), (all, vec![2, 2, 1]));
    }

    async fn worker_that_is_heard_in_time_keeps_its_attempt(url: DatabaseUrl) {
        let store = open(&url).await;
        submit(&store, "anna").await;
        let (session, _) = attach(&store, "w", 1, &[]).await;
        let job = claim(&store, "w", session, 1).await.remove(0);
        assert_eq!(store.lapsed(later(1), now(), None, 9).await.expect("reads").jobs.len(), 1);
        // It is heard between the look and the decision.
        store.heartbeat("w", session, false, None, later(1)).await.expect("renews");
        let take = async |since| {
            let changed = store.change_unless_heard(job.id, "w", since, |job| {
                let (event, removals) = lose(job);
                Ok::<_, std::convert::Infallible>(Change { event, removals })
            });
            changed.await.expect("answers").is_some()
        };
        assert!(!take(later(1)).await);
        assert_eq!(read(&store, &job).await, job);
        assert!(take(later(2)).await);
        assert_eq!(read(&store, &job).await.state, State::Queued);
    }

    async fn newest_announcement_of_a_model_wins(url: DatabaseUrl) {
        let store = open(&url).await;
        assert_eq!(store.models().await.expect("reads"), []);
        attach(&store, "w1", 1, &[]).await;
        let mut changed = attachment("w2", 1, &[]);
        changed.models[0].title = "Tiny 2".to_owned();
        attach_as(&store, &changed).await;
        assert_eq!(store.models().await.expect("reads"), changed.models);
    }

    async fn operators_see_workers(url: DatabaseUrl) {
        let store = open(&url).await;
        let job = submit(&store, "anna").await;
        let state = DeviceState { resident_models: vec!["tiny".to_owned()], memory_total_bytes: 1 << 40, memory_free_bytes: 7 };
        let told = Attachment {
            instance: "i1".to_owned(),
            pool: "large".to_owned(),
            protocol: 2,
            device_state: state.clone(),
            ..attachment("w", 2, &[])
        };
        attach_as(&store, &told).await;
        claim(&store, "w", told.session, 1).await;
        let worker = async || store.workers(now()).await.expect("reads").remove(0);
        let seen = worker().await;
        assert_eq!((seen.id.as_str(), seen.instance.as_str(), seen.pool.as_str(), seen.protocol), ("w", "i1", "large", 2));
        assert_eq!((seen.slots, seen.models.as_slice(), &seen.device_state), (2, &["tiny".to_owned()][..], &state));
        assert_eq!((seen.is_attached, seen.is_draining, seen.is_cordoned, seen.jobs.as_slice()), (true, false, false, &[job.id][..]));
        let state = DeviceState { memory_free_bytes: 5, ..DeviceState::default() };
        let beat = async |session, device| store.heartbeat("w", session, false, device, now()).await.expect("answers");
        assert_eq!(beat(told.session, Some(&state)).await, Some(Wishes::default()));
        let other = DeviceState::default();
        assert_eq!(beat(Uuid::now_v7(), Some(&other)).await, None);
        let drained = Wishes { is_cordoned: true, is_drained: true };
        assert!(store.set_wishes("w", drained).await.expect("cordons"));
        assert_eq!(beat(told.session, None).await, Some(drained));
        store.detach("w", Uuid::now_v7()).await.expect("ignores");
        assert_eq!((worker().await.device_state, worker().await.is_attached), (state, true));
        store.detach("w", told.session).await.expect("detaches");
        assert!(!worker().await.is_attached);
        // The order to drain outlives the stream, and a cordon the process.
        assert_eq!(attach_as(&store, &told).await.wishes, drained);
        let cordoned = Wishes { is_drained: false, ..drained };
        assert_eq!(attach(&store, "w", 1, &[]).await.1.wishes, cordoned);
        assert!(worker().await.is_cordoned);
        assert_eq!(store.workers(later(1)).await.expect("reads"), []);
        // By its name it is there all the same.
        assert_eq!(store.worker("w").await.expect("reads"), Some(worker().await));
        assert_eq!(store.worker("x").await.expect("reads"), None);
    }
}
