use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, user};

fn dispute(test: &TestApp, id: &str, state: DisputeStanding, amount: i64) -> dispute::Model {
    dispute::Model {
        id: id.to_owned(),
        payer: user("ada").payer.to_string(),
        receipt: "pi_1".to_owned(),
        state: state.code(),
        amount,
        currency: "usd".to_owned(),
        reason: "fraudulent".to_owned(),
        is_settled: false,
        create_time: test.app.now(),
    }
}

async fn put_all(test: &TestApp, rows: impl IntoIterator<Item = dispute::Model>) {
    let tx = test.app.store.begin().await.unwrap();
    for row in rows {
        put(&tx, row).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn stops(test: &TestApp, name: &str) -> bool {
    stop(test.app.store.reader(), &user(name).payer)
        .await
        .unwrap()
}

on_both_databases! {
    async fn money_is_away_while_the_bank_has_it_or_for_good(url: DatabaseUrl) {
        use DisputeStanding::{AtBank, Here, Lost, Won};
        let test = TestApp::on(&url).await;
        let rows = [("dp_1", AtBank, 5), ("dp_2", Here, 70), ("dp_3", Won, 600), ("dp_4", Lost, 8_000)];
        put_all(&test, rows.map(|(id, state, amount)| dispute(&test, id, state, amount))).await;
        let reader = test.app.store.reader();
        assert_eq!(away(reader, "pi_1").await.unwrap(), 8_005);
        assert_eq!(away(reader, "pi_2").await.unwrap(), 0);
        put_all(&test, [dispute(&test, "dp_4", Won, 9_000)]).await;
        assert_eq!(away(reader, "pi_1").await.unwrap(), 5);
        assert_eq!(find(reader, "dp_4").await.unwrap().unwrap().amount, 9_000);
        assert_eq!(find(reader, "dp_5").await.unwrap(), None);
    }

    async fn what_an_operator_settled_stops_nobody_until_there_is_news(url: DatabaseUrl) {
        use DisputeStanding::{AtBank, Here, Lost};
        let test = TestApp::on(&url).await;
        assert!(!stops(&test, "ada").await);
        put_all(&test, [dispute(&test, "dp_1", AtBank, 5), dispute(&test, "dp_2", Here, 5)]).await;
        assert!(stops(&test, "ada").await && !stops(&test, "ben").await);
        let tx = test.app.store.begin().await.unwrap();
        settle(&tx, &user("ada").payer).await.unwrap();
        tx.commit().await.unwrap();
        put_all(&test, [dispute(&test, "dp_1", Lost, 5)]).await;
        assert!(!stops(&test, "ada").await, "it is the same dispute");
        put_all(&test, [dispute(&test, "dp_2", AtBank, 5)]).await;
        assert!(stops(&test, "ada").await, "the bank only asked before");
    }
}
