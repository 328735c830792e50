mod tls;

use std::time::Duration;

use futures::future::join_all;
use kinora_testkit::redis::TestRedis;
use kinora_testkit::wait::until;
use redis::AsyncCommands;

use super::*;

/// Long enough that nothing comes back while a test runs.
const A_DAY: &str = "24h";

/// A store answers within milliseconds, and comes back within a second, on an idle machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn limits(quota: u64, store: Option<&TestRedis>) -> Limits {
    let limit: Limit = format!("{quota}/{A_DAY}").parse().unwrap();
    let options = LimitOptions {
        caller_limit: limit,
        address_limit: limit,
        limit_store: store.map(|store| store.url().parse().unwrap()),
        limit_store_timeout: PATIENCE,
        ..LimitOptions::default()
    };
    let limits = Limits::open(&options, CancellationToken::new()).await;
    limits.unwrap()
}

fn key(id: &str) -> Subject {
    Subject::Key(id.to_owned())
}

fn address(text: &str) -> Subject {
    Subject::Address(Some(text.parse().unwrap()))
}

async fn is_within(limits: &Limits, subject: &Subject) -> bool {
    limits.take(subject).await.unwrap().check().is_ok()
}

/// How many of `most` requests at once are let through, half of them at each edge.
async fn let_through(edges: &[Limits], subject: &Subject, most: usize) -> usize {
    let takes = (0..most).map(|number| {
        let limits = edges[number % edges.len()].clone();
        let subject = subject.clone();
        tokio::spawn(async move { is_within(&limits, &subject).await })
    });
    let answers = join_all(takes).await;
    answers
        .into_iter()
        .filter(|is_within| *is_within.as_ref().unwrap())
        .count()
}

fn headers(verdict: &Verdict) -> [String; 2] {
    let mut headers = HeaderMap::new();
    verdict.write(&mut headers);
    [POLICY_HEADER, LEVEL_HEADER].map(|name| headers[name].to_str().unwrap().to_owned())
}

#[test]
fn addresses_are_single_ones_and_networks_of_64_bits() {
    assert_eq!(address("203.0.113.9").to_string(), "203.0.113.9");
    let [one, other] = ["2001:db8:0:7::1", "2001:db8:0:7:ffff:0:0:2"].map(address);
    assert_eq!(one.to_string(), "2001:db8:0:7::/64");
    assert_eq!(other.to_string(), one.to_string());
    assert_ne!(address("2001:db8:0:8::1").to_string(), one.to_string());
    assert_eq!(Subject::Address(None).to_string(), "unknown");
}

/// What holds wherever requests are counted.
async fn check_counting(edges: &[Limits]) {
    assert_eq!(let_through(edges, &key("crowd"), 1000).await, 100);
    assert_eq!(let_through(edges, &address("203.0.113.9"), 300).await, 100);
    assert_eq!(let_through(edges, &key("other"), 99).await, 99);
    let last = edges[0].take(&key("other")).await.unwrap();
    assert_eq!(headers(&last)[1].split(';').nth(1), Some("r=0"));
    edges[0].give_back(&key("other")).await;
    assert!(is_within(&edges[0], &key("other")).await);
    assert!(!is_within(&edges[0], &key("other")).await);
    edges[0].give_back(&key("new")).await;
    assert_eq!(let_through(edges, &key("new"), 200).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_quota_is_let_through_by_one_edge() {
    check_counting(&[limits(100, None).await]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_quota_is_let_through_by_two_edges_with_one_store() {
    let redis = TestRedis::start().await;
    let edges = [
        limits(100, Some(&redis)).await,
        limits(100, Some(&redis)).await,
    ];
    check_counting(&edges).await;
}

#[tokio::test]
async fn headers_say_what_there_is_and_what_is_left() {
    let limits = limits(4, None).await;
    let first = limits.take(&key("a")).await.unwrap();
    let expected = [r#""caller";q=4;w=86400"#, r#""caller";r=3;t=21600"#];
    assert_eq!(headers(&first), expected);
    let stranger = limits.take(&address("::1")).await.unwrap();
    assert_eq!(headers(&stranger)[0], r#""address";q=4;w=86400"#);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let limits = limits(1, None).await;
    assert!(is_within(&limits, &key("a")).await);
    let refused = limits.take(&key("a")).await.unwrap().check().unwrap_err();
    assert_eq!(refused.said().0, "RATE_LIMITED");
    let error = PublicError::from(refused);
    assert_eq!(error.kind, Kind::ResourceExhausted);
    let wait = error.retry_after.unwrap();
    let day = Duration::from_secs(86_400);
    assert!((day - PATIENCE..=day).contains(&wait), "{wait:?}");
    assert_eq!(error.metadata[0], ("limit".to_owned(), "caller".to_owned()));
}

#[tokio::test]
async fn nothing_is_counted_where_there_is_no_limit() {
    let off = Limits::default();
    assert!(off.take(&key("a")).await.is_none());
    off.give_back(&key("a")).await;
}

#[tokio::test]
async fn the_store_lets_come_back_what_is_spent_and_forgets_what_is_full() {
    let redis = TestRedis::start().await;
    let limits = limits(24, Some(&redis)).await;
    let mut connection = connect(&redis).await;
    let bucket = "kinora:limit:caller:key:a";
    // Three were spent, and half an hour has passed.
    let (seconds, _): (u64, u64) = redis::cmd("TIME")
        .query_async(&mut connection)
        .await
        .unwrap();
    let full_at = (seconds + 5 * 1800) * 1_000_000;
    let _: () = connection.set(bucket, full_at).await.unwrap();
    let verdict = limits.take(&key("a")).await.unwrap();
    assert!(headers(&verdict)[1].starts_with(r#""caller";r=20;t=1"#));
    let forgotten_in: i64 = connection.pttl(bucket).await.unwrap();
    let window = 7 * 1_800_000;
    assert!(
        (window - 60_000..=window).contains(&forgotten_in),
        "{forgotten_in}"
    );
    for _ in 0..4 {
        limits.give_back(&key("a")).await;
    }
    assert!(!connection.exists::<_, bool>(bucket).await.unwrap());
}

async fn connect(redis: &TestRedis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test]
async fn an_edge_whose_store_is_away_counts_alone_until_it_is_back() {
    let mut redis = TestRedis::start().await;
    let edges = [limits(2, Some(&redis)).await, limits(2, Some(&redis)).await];
    assert_eq!(let_through(&edges, &key("a"), 10).await, 2);
    redis.stop().await;
    // Each has its own two, and no more.
    assert_eq!(let_through(&edges[..1], &key("b"), 10).await, 2);
    assert_eq!(let_through(&edges[1..], &key("b"), 10).await, 2);
    redis.start_again().await;
    for edge in &edges {
        let store = edge.0.store.as_ref().unwrap();
        until("the store to be found", PATIENCE, || async {
            if store.is_up() { Ok(()) } else { Err("away") }
        })
        .await;
    }
    assert_eq!(let_through(&edges, &key("c"), 10).await, 2);
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_is_found_later() {
    let mut redis = TestRedis::start().await;
    redis.stop().await;
    let edge = limits(2, Some(&redis)).await;
    assert_eq!(
        let_through(std::slice::from_ref(&edge), &key("a"), 10).await,
        2
    );
    redis.start_again().await;
    let store = edge.0.store.as_ref().unwrap();
    until("the store to be found", PATIENCE, || async {
        if store.is_up() { Ok(()) } else { Err("away") }
    })
    .await;
    assert!(
        is_within(&edge, &key("a")).await,
        "the store knows nothing of it"
    );
}
