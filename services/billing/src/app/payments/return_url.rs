//! Where people land who come back from Stripe. The address is the operator's: nothing of it comes from a request.

use url::Url;
use uuid::Uuid;

/// Stripe takes no longer addresses than 2048 characters, and `checkout` and `outcome` are added.
const LONGEST: usize = 1_900;

/// Reads an address of the web.
///
/// # Errors
/// What is wrong, as a sentence.
pub(super) fn parse(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok();
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    url.filter(|url| is_web(url) && text.len() <= LONGEST)
        .ok_or("--payments-return-url is no address of the web, or too long")
}

/// Adds which checkout it was, and where people clicked. Whether the money is there is not known by then.
pub(super) fn with_outcome(return_url: &Url, checkout: Uuid, outcome: &str) -> String {
    let mut url = return_url.clone();
    url.query_pairs_mut()
        .append_pair("checkout", &checkout.to_string())
        .append_pair("outcome", outcome);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    #[test]
    fn people_come_back_to_the_page_of_the_operator() {
        let id = "00000000-0000-0000-0000-000000000007";
        for (page, expected) in [
            (
                "https://a.example.org/",
                format!("https://a.example.org/?checkout={id}&outcome=paid"),
            ),
            (
                "http://127.0.0.1:8080/back?from=stripe#top",
                format!("http://127.0.0.1:8080/back?from=stripe&checkout={id}&outcome=paid#top"),
            ),
        ] {
            let page = parse(page).unwrap();
            assert_eq!(with_outcome(&page, ID, "paid"), expected);
        }
    }

    #[test]
    fn what_is_no_address_of_the_web_stops_the_service() {
        let long = format!("https://a.example.org/{}", "a".repeat(LONGEST));
        for page in [
            "",
            "a.example.org",
            "javascript:alert(1)",
            "file:///x",
            &long,
        ] {
            assert!(parse(page).is_err(), "{page}");
        }
    }
}
