use chrono::TimeDelta;
use kinora_store::on_both_databases;

use super::*;
use crate::app::refund::RefundOrder;
use crate::app::testing::{TestApp, amount, frames, id_of, member, refusal_of, time, user};
use crate::domain::caller::Caller;
use crate::domain::work::Work;

async fn export(test: &TestApp, caller: &Caller, format: Format) -> Vec<Vec<u8>> {
    let chunks = test
        .app
        .export_usage(caller.payer, "2026-11-01", "2026-12-31", format);
    chunks.await.unwrap().try_collect().await.unwrap()
}

fn text(chunks: Vec<Vec<u8>>) -> String {
    String::from_utf8(chunks.concat()).unwrap()
}

/// So many frames of a model.
fn of(model: &str, number: u32) -> Work {
    Work {
        model: model.to_owned(),
        ..frames(number)
    }
}

on_both_databases! {
    async fn usage_is_summed_by_day_model_and_person(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let (anna, bob, ada) = (member("acme", "anna", true), member("acme", "bob", false), user("anna"));
        for payer in [&anna.payer, &ada.payer] {
            test.give(payer, 500_000, None).await;
        }
        test.clock.set(time("2026-11-22T23:59:59Z"));
        for caller in [&anna, &anna, &bob, &ada] {
            test.captured(caller, of("tiny", 24), None).await;
        }
        test.captured(&anna, of("wan", 16), Some(700)).await;
        let late = test.hold(&bob, of("tiny", 16)).await.unwrap();
        test.hold(&bob, of("tiny", 16)).await.unwrap();
        test.clock.advance(TimeDelta::seconds(1));
        test.app.capture(late, 1, None).await.unwrap();
        let (lines, credits) = test.app.usage(&anna.payer, "", "").await.unwrap();
        let shown: Vec<_> = lines
            .iter()
            .map(|it| (it.day.as_str(), it.model.as_str(), it.user, it.clips, it.seconds, it.credits.get()))
            .collect();
        let (anna_id, bob_id) = (id_of("anna"), id_of("bob"));
        let expected = [
            ("2026-11-22", "tiny", anna_id, 2, 3.0, 3000),
            ("2026-11-22", "tiny", bob_id, 1, 1.5, 1500),
            ("2026-11-22", "wan", anna_id, 1, 1.0, 700),
            ("2026-11-23", "tiny", bob_id, 1, 1.0, 1000),
        ];
        assert_eq!(shown, expected);
        assert_eq!(credits, amount(6200));
        assert!(lines.iter().all(|line| line.payer == anna.payer));
        let (lines, _) = test.app.usage(&anna.payer, "2026-11-23", "2026-11-23").await.unwrap();
        assert_eq!(lines.len(), 1);
        let (own, _) = test.app.usage(&ada.payer, "", "").await.unwrap();
        assert_eq!((own.len(), own[0].clips), (1, 1));
        assert_eq!(test.app.usage(&user("nobody").payer, "", "").await.unwrap(), (Vec::new(), amount(0)));
        for (from, to) in [("2026-11-23", "2026-11-22"), ("x", ""), ("2020-01-01", "")] {
            assert_eq!(refusal_of(test.app.usage(&ada.payer, from, to).await), Refusal::DaysInvalid);
        }
    }

    async fn refunds_lower_the_usage_of_the_day_of_delivery(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5000, None).await;
        let job = test.captured(&ada, frames(16), None).await;
        test.clock.advance(TimeDelta::days(3));
        let order = RefundOrder {
            request_id: "r".to_owned(),
            job,
            credits: Some(amount(400)),
            note: "sorry".to_owned(),
        };
        test.app.refund(id_of("op"), &order).await.unwrap();
        let (lines, credits) = test.app.usage(&ada.payer, "", "").await.unwrap();
        assert_eq!((lines.len(), lines[0].day.as_str(), credits), (1, "2026-11-22", amount(600)));
    }

    async fn files_have_all_lines_in_chunks(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let ada = user("ada");
        test.give(&ada.payer, 5_000_000, None).await;
        assert_eq!(text(export(&test, &ada, Format::Json).await), "");
        let heading = "day,model,user_id,organisation_id,clips,seconds,credits\r\n";
        assert_eq!(text(export(&test, &ada, Format::Csv).await), heading);
        let number = usize::try_from(CHUNK_LINES).unwrap() * 2 + 5;
        for model in 0..number {
            test.captured(&ada, of(&format!("=m{model:04}"), 16), None).await;
        }
        let chunks = export(&test, &ada, Format::Csv).await;
        assert_eq!(chunks.len(), 3);
        let file = text(chunks);
        let mut lines = file.split_terminator("\r\n");
        assert_eq!(lines.next(), Some(heading.trim_end()));
        let id = ada.user;
        for model in 0..number {
            let line = format!("2026-11-22,'=m{model:04},{id},,1,1,1000");
            assert_eq!(lines.next(), Some(line.as_str()));
        }
        assert_eq!(lines.next(), None);
        let file = text(export(&test, &ada, Format::Json).await);
        assert_eq!(file.lines().count(), number);
        let first: serde_json::Value = serde_json::from_str(file.lines().next().unwrap()).unwrap();
        assert_eq!((&first["model"], &first["credits"]), (&"=m0000".into(), &1000.into()));
        assert_eq!(text(export(&test, &user("ben"), Format::Json).await), "");
    }

    async fn chunks_of_the_longest_lines_fit_a_message(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let anna = member("acme", "anna", true);
        test.give(&anna.payer, 5_000_000, None).await;
        for number in 0..CHUNK_LINES {
            let model = format!("{}{number:03}", "\"".repeat(125));
            test.captured(&anna, of(&model, 16), None).await;
        }
        for format in [Format::Csv, Format::Json] {
            let chunks = export(&test, &anna, format).await;
            assert!(chunks.iter().all(|chunk| chunk.len() <= 64 * 1024));
        }
        assert_eq!(test.app.usage(&anna.payer, "", "").await.unwrap().0.len(), 100);
    }
}
