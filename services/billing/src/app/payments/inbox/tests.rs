use kinora_store::on_both_databases;

use super::*;
use crate::app::testing::{TestApp, refusal_of};

#[test]
fn an_operator_is_told_why_in_a_sentence() {
    let refused = problem_of(&Refusal::TooManyGrants.into());
    assert_eq!(refused, "refused: TOO_MANY_GRANTS");
    let gone = Error::Payment("the plan is gone".to_owned());
    assert_eq!(problem_of(&gone), "the plan is gone");
    let unknown = Error::from(kinora_stripe_gateway::Error::UnknownCurrency);
    assert_eq!(
        problem_of(&unknown),
        "an amount is in a currency that is not configured"
    );
}

#[test]
fn stripe_is_left_alone_as_long_as_it_asks() {
    let busy = |seconds| {
        let refusal = kinora_stripe_gateway::Refusal {
            status: 429,
            retry_after: Some(Duration::from_secs(seconds)),
            ..Default::default()
        };
        Error::from(kinora_stripe_gateway::Error::Busy { tries: 1, refusal })
    };
    assert_eq!(asked_pause(&busy(90)), Duration::from_secs(90));
    assert_eq!(asked_pause(&busy(1_000_000)), LONGEST_PAUSE);
    assert_eq!(asked_pause(&Error::Payment(String::new())), Duration::ZERO);
}

on_both_databases! {
    async fn who_takes_no_money_takes_no_webhook(url: DatabaseUrl) {
        let test = TestApp::on(&url).await;
        let refused = test.app.receive_webhook(b"{}", "t=1,v1=00").await;
        assert_eq!(refusal_of(refused), Refusal::PaymentsDisabled);
        assert_eq!(test.app.handle_events().await.unwrap(), 0);
    }
}
