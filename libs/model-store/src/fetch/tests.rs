//! Headers as servers write them.

use super::*;

#[test]
fn ranges_are_read_as_servers_write_them() {
    let range = |start, total| Some(ContentRange { start, total });
    assert_eq!(parse_range("bytes 5-9/10"), range(Some(5), Some(10)));
    assert_eq!(parse_range("bytes 5-9/*"), range(Some(5), None));
    assert_eq!(parse_range("bytes */10"), range(None, Some(10)));
    for wrong in [
        "",
        "bytes",
        "bytes 5/10",
        "lines 5-9/10",
        "bytes x-9/10",
        "bytes -5-9",
    ] {
        assert_eq!(parse_range(wrong), None, "{wrong}");
    }
}

#[test]
fn the_hub_promises_digests_and_nobody_else_does() {
    let digest = "a".repeat(64);
    let mut headers = HeaderMap::new();
    headers.insert(
        ETAG,
        "\"33a64df551425fcc55e4d42a148795d9f25f89d4\""
            .parse()
            .unwrap(),
    );
    let is_of_hub = true;
    let (sha256, size) = (None, None);
    let mut word = HubWord {
        sha256,
        size,
        is_of_hub,
    };
    word.hear(&headers);
    assert_eq!(word.sha256, None, "a git digest is none of the content");
    headers.insert(LINKED_ETAG, format!("\"{digest}\"").parse().unwrap());
    headers.insert(LINKED_SIZE, "12".parse().unwrap());
    let mut of_mirror = HubWord::default();
    of_mirror.hear(&headers);
    assert_eq!((of_mirror.sha256, of_mirror.size), (None, None));
    word.hear(&headers);
    assert_eq!((word.sha256, word.size), (Some(digest), Some(12)));
}
