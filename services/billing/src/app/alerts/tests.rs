use std::sync::Arc;

use kinora_mesh::lifecycle::Lifecycle;
use kinora_mesh::serve::Grpc;
use kinora_proto::accounts::v1 as pb;
use kinora_proto::accounts::v1::notice_service_server::{NoticeService, NoticeServiceServer};
use kinora_proto::accounts::v1::send_notice_request::{Notice, Recipient};
use kinora_store::on_both_databases;
use kinora_testkit::identity::identity;
use parking_lot::Mutex;
use sea_orm::{EntityTrait, QueryOrder};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response};

use super::*;
use crate::app::testing::{TestApp, amount, frames, id_of, member, user};
use crate::domain::caller::Caller;
use crate::domain::cap::SpendCap;
use crate::store::entity::payers::spend_alert;

/// An accounts service that keeps what it is asked to tell, or is away.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    asked: Vec<pb::SendNoticeRequest>,
    is_away: bool,
}

#[tonic::async_trait]
impl NoticeService for Accounts {
    async fn send_notice(
        &self,
        request: Request<pb::SendNoticeRequest>,
    ) -> Result<Response<pb::SendNoticeResponse>, Status> {
        let mut state = self.0.lock();
        if state.is_away {
            return Err(Status::unavailable("it is away"));
        }
        state.asked.push(request.into_inner());
        Ok(Response::new(pb::SendNoticeResponse {}))
    }
}

impl Accounts {
    async fn serve(&self) -> (Notices, DropGuard) {
        let listener = kinora_testkit::net::loopback_listener().await;
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let routes = Routes::new(NoticeServiceServer::new(self.clone()));
        let stopped = stop.clone();
        tokio::spawn(async move {
            let (own, lifecycle) = (identity("accounts"), Lifecycle::until(&stopped));
            kinora_mesh::serve::grpc(listener, &own, Grpc::of(routes), &lifecycle).await
        });
        let own = identity("billing");
        let channel = kinora_mesh::channel::connect_lazy(&endpoint, &own, "accounts");
        (Notices::new(channel.unwrap()), stop.drop_guard())
    }

    fn be_away(&self, is_away: bool) {
        self.0.lock().is_away = is_away;
    }

    fn asked(&self) -> Vec<pb::SendNoticeRequest> {
        self.0.lock().asked.clone()
    }

    /// Whom it was asked to tell of which part.
    fn told(&self) -> Vec<(Recipient, u32)> {
        let told = |asked: pb::SendNoticeRequest| {
            let percent = alert_in(&asked).percent;
            (asked.recipient.unwrap(), percent)
        };
        self.asked().into_iter().map(told).collect()
    }
}

fn alert_in(asked: &pb::SendNoticeRequest) -> pb::SpendAlert {
    let Some(Notice::SpendAlert(alert)) = asked.notice else {
        panic!("no alert: {asked:?}");
    };
    alert
}

/// Somebody with credits who is told at parts of 10,000.
async fn bounded(test: &TestApp, caller: &Caller) {
    test.give(&caller.payer, 100_000, None).await;
    let cap = SpendCap {
        hard: None,
        soft: Some(amount(10_000)),
    };
    test.app.set_spend_cap(caller, cap).await.unwrap();
}

/// The rows, in the order of their parts.
async fn rows(test: &TestApp) -> Vec<spend_alert::Model> {
    let query = spend_alert::Entity::find().order_by_asc(spend_alert::Column::Percent);
    query.all(test.app.store.reader()).await.unwrap()
}

async fn tell(test: &TestApp, notices: &Notices) -> Option<Telling> {
    test.app.tell_next_alert(notices).await.unwrap()
}

on_both_databases! {
    async fn each_alert_is_told_once_with_what_it_is_about(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let accounts = Accounts::default();
        let (notices, _stop) = accounts.serve().await;
        let (ada, anna) = (user("ada"), member("acme", "anna", true));
        bounded(&test, &ada).await;
        bounded(&test, &anna).await;
        assert_eq!(tell(&test, &notices).await, None);
        test.hold(&ada, frames(96)).await.unwrap();
        assert_eq!(tell(&test, &notices).await, Some(Telling::Told));
        assert_eq!(tell(&test, &notices).await, None);
        let alert = alert_in(&accounts.asked()[0]);
        assert_eq!((alert.percent, alert.soft_credits, alert.spent_credits), (50, 10_000, 6000));
        let end = test.balance(&ada).await.window.end;
        assert_eq!(alert.reset_time.unwrap().seconds, end.timestamp());
        test.hold(&anna, frames(128)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(tell(&test, &notices).await, Some(Telling::Told));
        }
        assert_eq!(tell(&test, &notices).await, None);
        let acme = Recipient::OrganisationId(id_of("acme").to_string());
        let expected = [(Recipient::UserId(ada.user.to_string()), 50), (acme.clone(), 50), (acme, 80)];
        assert_eq!(accounts.told(), expected);
        assert!(rows(&test).await.iter().all(|row| row.told_time == Some(test.app.now())));
    }

    async fn replicas_share_alerts_and_tell_none_twice(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let accounts = Accounts::default();
        let (notices, _stop) = accounts.serve().await;
        for name in ["ada", "ben", "cleo", "dora"] {
            let caller = user(name);
            bounded(&test, &caller).await;
            test.hold(&caller, frames(160)).await.unwrap();
        }
        let mut replicas = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (app, notices) = (Arc::clone(&test.app), notices.clone());
            replicas.spawn(async move {
                while let Some(telling) = app.tell_next_alert(&notices).await.unwrap() {
                    assert_eq!(telling, Telling::Told);
                }
            });
        }
        replicas.join_all().await;
        // Where another replica has locked the rest, one finds nothing and is done.
        while tell(&test, &notices).await.is_some() {}
        let mut ids: Vec<String> = accounts.asked().into_iter().map(|asked| asked.id).collect();
        assert_eq!(ids.len(), 12);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 12);
    }

    async fn alerts_are_told_once_accounts_is_back(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let accounts = Accounts::default();
        let (notices, _stop) = accounts.serve().await;
        let ada = user("ada");
        bounded(&test, &ada).await;
        test.hold(&ada, frames(80)).await.unwrap();
        accounts.be_away(true);
        assert_eq!(tell(&test, &notices).await, Some(Telling::PutOff));
        accounts.be_away(false);
        assert_eq!(tell(&test, &notices).await, None, "it rests first");
        test.clock.advance(FIRST_DELAY * 2);
        assert_eq!(tell(&test, &notices).await, Some(Telling::Told));
        assert_eq!(accounts.told().len(), 1);
    }

    async fn alerts_are_tried_later_and_later_and_given_up_after_three_days(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let accounts = Accounts::default();
        let (notices, _stop) = accounts.serve().await;
        let ada = user("ada");
        bounded(&test, &ada).await;
        test.hold(&ada, frames(80)).await.unwrap();
        accounts.be_away(true);
        let (start, mut rests) = (test.app.now(), Vec::new());
        while tell(&test, &notices).await == Some(Telling::PutOff) {
            let row = rows(&test).await.remove(0);
            let rest = row.next_attempt_time.unwrap() - test.app.now();
            rests.push(rest);
            test.clock.advance(rest);
        }
        let lasted = test.app.now() - start;
        assert!(lasted < GIVE_UP && lasted > GIVE_UP - TimeDelta::hours(2), "{lasted}");
        assert!(rests[0] <= FIRST_DELAY * 5 / 4 && rests[0] >= FIRST_DELAY * 3 / 4);
        assert!(rests.iter().all(|rest| *rest <= LONGEST_DELAY * 5 / 4));
        assert!(rests.len() > 50 && rests.len() < 200, "{}", rests.len());
        let row = rows(&test).await.remove(0);
        assert_eq!((row.told_time, row.next_attempt_time), (None, None));
        accounts.be_away(false);
        test.clock.advance(TimeDelta::days(9));
        assert_eq!(tell(&test, &notices).await, None);
        // It is still shown.
        assert_eq!(test.app.spend_alerts(&ada).await.unwrap().len(), 1);
    }

    async fn who_dies_with_a_claim_leaves_the_alert_to_others(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let accounts = Accounts::default();
        let (notices, _stop) = accounts.serve().await;
        let ada = user("ada");
        bounded(&test, &ada).await;
        test.hold(&ada, frames(80)).await.unwrap();
        let dead = test.app.claim_alert().await.unwrap().expect("one is due");
        notices.tell(&dead, None).await.unwrap();
        assert_eq!(tell(&test, &notices).await, None, "the claim holds");
        test.clock.advance(CLAIM);
        assert_eq!(tell(&test, &notices).await, Some(Telling::Told));
        let asked = accounts.asked();
        assert_eq!((asked.len(), &asked[0].id), (2, &asked[1].id), "accounts can tell");
        // The late answer of the first changes nothing.
        let late = Err(Status::unavailable("it is away"));
        test.app.note_telling(&dead, late).await.unwrap();
        assert_eq!(tell(&test, &notices).await, None);
        assert!(rows(&test).await[0].told_time.is_some());
    }

    async fn alert_of_a_window_that_is_over_says_no_end(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let accounts = Accounts::default();
        let (notices, _stop) = accounts.serve().await;
        let ada = user("ada");
        bounded(&test, &ada).await;
        test.clock.set(test.balance(&ada).await.window.end - TimeDelta::minutes(1));
        test.hold(&ada, frames(80)).await.unwrap();
        test.clock.advance(TimeDelta::minutes(2));
        assert_eq!(tell(&test, &notices).await, Some(Telling::Told));
        assert_eq!(alert_in(&accounts.asked()[0]).reset_time, None);
    }
}

#[test]
fn delays_double_up_to_the_longest_and_are_spread() {
    let seconds = |attempts| delay(attempts, 0.0).num_seconds();
    let delays: Vec<i64> = (1..=11).map(seconds).collect();
    assert_eq!(delays, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
    assert_eq!(delay(i32::MAX, 0.25), LONGEST_DELAY * 5 / 4);
    assert_eq!(delay(i32::MIN, -0.2), TimeDelta::seconds(4));
}
