use std::collections::HashSet;

use super::*;
use crate::domain::job::{GroupRef, State, StoredImage};

kinora_store::on_both_databases! {
    async fn pictures_of_a_job_that_is_not_stored_are_removed(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut job = new_job("anna", "tiny");
        job.spec.image = Some(StoredImage { key: "jobs/x/inputs/first.png".to_owned(), sha256: "0a".repeat(32) });
        let planned = Removal { prefix: "jobs/x/inputs/".to_owned(), not_before: now() };
        let kept = store.plan_removal(&planned).await.expect("plans");
        let submitted = store.submit(&[job.clone()], None, Some(&request("id:r1", "f1")), &Limits::default(), &[kept]).await;
        accepted(submitted.expect("submits"));
        assert_eq!(store.get("anna", job.id).await.expect("reads").expect("the job").spec, job.spec);
        let hidden_for = Duration::from_secs(120);
        assert_eq!(store.due_removals(now(), hidden_for, 9).await.expect("reads"), [], "called off");
        // The same request again: its pictures are nobody's.
        let again = new_job("anna", "tiny");
        let orphaned = store.plan_removal(&planned).await.expect("plans");
        let submitted = store.submit(&[again], None, Some(&request("id:r1", "f1")), &Limits::default(), &[orphaned]).await.expect("answers");
        assert!(matches!(submitted, Submitted::Known(_)));
        let due = store.due_removals(now(), hidden_for, 9).await.expect("reads");
        assert_eq!(due.iter().map(|due| due.id).collect::<Vec<_>>(), [orphaned]);
        store.removal_done(orphaned).await.expect("forgets");
        let late = store.submit(&[new_job("anna", "tiny")], None, None, &Limits::default(), &[orphaned]).await;
        assert!(matches!(late, Err(JobStoreError::LostUpdate)), "the pictures are gone");
    }

    async fn equal_requests_at_once_make_one_job(url: DatabaseUrl) {
        let store = open(&url).await;
        let mut callers = Vec::new();
        for _ in 0..20 {
            let store = store.clone();
            callers.push(tokio::spawn(async move {
                let job = new_job("anna", "tiny");
                match submit_with(&store, &job, &request("id:r1", "f1")).await {
                    Submitted::Known(previous) => previous.job,
                    other => accepted(other)[0].id,
                }
            }));
        }
        let mut ids = HashSet::new();
        for caller in callers {
            ids.insert(caller.await.expect("a caller"));
        }
        assert_eq!(ids.len(), 1);
        assert_eq!(list(&store, "anna", &[], None, 100).await.len(), 1);
        let ben = submit_with(&store, &new_job("ben", "tiny"), &request("id:r1", "f2")).await;
        assert_eq!(accepted(ben).len(), 1, "another owner's id is free");
    }

    async fn equal_bodies_are_one_until_their_key_expires(url: DatabaseUrl) {
        let store = open(&url).await;
        let body = Request { expires_at: Some(later(60)), ..request("body:f1", "f1") };
        let first = new_job("anna", "tiny");
        accepted(submit_with(&store, &first, &body).await);
        let mut again = new_job("anna", "tiny");
        again.create_time = later(59);
        let known = Previous { job: first.id, group: None, fingerprint: "f1".to_owned() };
        assert_eq!(submit_with(&store, &again, &body).await, Submitted::Known(known.clone()));
        assert_eq!(store.previous("anna", "body:f1", later(59)).await.expect("reads"), Some(known));
        assert_eq!(store.previous("anna", "body:f1", later(60)).await.expect("reads"), None);
        again.create_time = later(60);
        let renewed = Request { expires_at: Some(later(120)), ..body };
        assert_eq!(accepted(submit_with(&store, &again, &renewed).await)[0].id, again.id);
        assert_eq!(store.forget_requests(later(119)).await.expect("forgets"), 0);
        assert_eq!(store.forget_requests(later(120)).await.expect("forgets"), 1);
        assert_eq!(store.find(again.id).await.expect("reads").map(|job| job.id), Some(again.id));
    }

    async fn request_id_is_kept_with_its_body_until_the_job_goes(url: DatabaseUrl) {
        let store = open(&url).await;
        let first = new_job("anna", "tiny");
        accepted(submit_with(&store, &first, &request("id:r1", "f1")).await);
        let other = submit_with(&store, &new_job("anna", "tiny"), &request("id:r1", "f2")).await;
        let Submitted::Known(previous) = other else {
            panic!("known, not {other:?}");
        };
        assert_eq!((previous.job, previous.fingerprint.as_str()), (first.id, "f1"));
        cancel(&store, &first).await;
        assert!(store.previous("anna", "id:r1", later(999)).await.expect("reads").is_some());
        store.delete("anna", first.id, &[], now()).await.expect("deletes");
        let next = submit_with(&store, &new_job("anna", "tiny"), &request("id:r1", "f2")).await;
        assert_eq!(accepted(next).len(), 1);
    }

    async fn group_is_accepted_whole_and_goes_with_its_last_job(url: DatabaseUrl) {
        let store = open(&url).await;
        let group = Group { id: Uuid::now_v7(), owner: "anna".to_owned(), kind: GroupKind::Batch, create_time: now() };
        let mut jobs = [new_job("anna", "tiny"), new_job("anna", "tiny"), new_job("anna", "tiny")];
        for (index, job) in jobs.iter_mut().enumerate() {
            job.group = Some(GroupRef { id: group.id, index: u32::try_from(index).expect("few") });
        }
        let key = request("id:batch", "f1");
        let submit = async || store.submit(&jobs, Some(&group), Some(&key), &Limits::default(), &[]).await.expect("submits");
        assert_eq!(accepted(submit().await).len(), 3);
        let Submitted::Known(previous) = submit().await else {
            panic!("the batch is known");
        };
        assert_eq!((previous.group, previous.job), (Some(group.id), jobs[0].id));
        cancel(&store, &jobs[1]).await;
        let (read, members) = store.group("anna", group.id).await.expect("reads").expect("the group");
        assert_eq!(read, group);
        assert_eq!(members.iter().map(|job| job.id).collect::<Vec<_>>(), jobs.clone().map(|job| job.id));
        assert_eq!(members[1].state, State::Cancelled);
        assert_eq!(store.group("ben", group.id).await.expect("reads"), None);
        for job in &jobs {
            assert!(store.group("anna", group.id).await.expect("reads").is_some());
            store.delete("anna", job.id, &[], now()).await.expect("deletes");
        }
        assert_eq!(store.group("anna", group.id).await.expect("reads"), None);
        assert_eq!(store.previous("anna", "id:batch", now()).await.expect("reads"), None);
    }

    async fn last_jobs_of_a_group_deleted_at_a_time_take_it_along(url: DatabaseUrl) {
        let store = open(&url).await;
        for round in 0..20 {
            let group = Group { id: Uuid::now_v7(), owner: "anna".to_owned(), kind: GroupKind::Batch, create_time: now() };
            // In lanes of their own, or the second delete would wait for the first anyway.
            let mut jobs = [new_job("anna", "tiny"), new_job("anna", "huge")];
            for (index, job) in (0..).zip(&mut jobs) {
                job.group = Some(GroupRef { id: group.id, index });
            }
            let (limits, request) = (Limits::default(), request(&format!("id:r{round}"), "f1"));
            let submitted = store.submit(&jobs, Some(&group), Some(&request), &limits, &[]);
            accepted(submitted.await.expect("submits"));
            let mut deletes = tokio::task::JoinSet::new();
            for job in jobs {
                let store = store.clone();
                deletes.spawn(async move { store.delete("anna", job.id, &[], now()).await.expect("deletes").is_some() });
            }
            assert_eq!(deletes.join_all().await, [true, true]);
            assert_eq!((count(&store, "job_group").await, count(&store, "request_key").await), (0, 0), "in round {round}");
        }
    }
}
