//! What a browser and the person before it do at the provider.

use std::collections::BTreeMap;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use url::Url;
use url::form_urlencoded::Serializer;

/// A sign-in takes fewer pages.
const MOST_PAGES: usize = 12;

/// Keeps cookies, follows redirects up to where the provider sends it back.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// One that has been nowhere.
    ///
    /// # Panics
    /// When no client can be made.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a browser is started, not a value"
    )]
    pub fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(Policy::none()).no_proxy();
        Self {
            client: client.build().expect("a client"),
            cookies: BTreeMap::new(),
        }
    }

    /// Signs in as `name`, agrees to everything, and answers where the provider sends it at the end. With no name it
    /// changes its mind at the first form.
    ///
    /// # Panics
    /// When the provider cannot be reached or shows a page that is not expected.
    pub async fn visit(&mut self, address: &str, back: &str, name: Option<&str>) -> Url {
        let mut url = Url::parse(address).expect("an address");
        let mut page = self.get(&url).await;
        for _ in 0..MOST_PAGES {
            if let Some(location) = page.headers().get(LOCATION) {
                url = url
                    .join(location.to_str().expect("text"))
                    .expect("an address");
                if url.as_str().starts_with(back) {
                    return url;
                }
                page = self.get(&url).await;
                continue;
            }
            let text = page.text().await.expect("a page");
            page = match name {
                Some(name) if text.contains(r#"value="login""#) => {
                    let fields = [("prompt", "login"), ("login", name), ("password", "any")];
                    self.post(&url, &fields).await
                }
                Some(_) if text.contains(r#"value="consent""#) => {
                    self.post(&url, &[("prompt", "consent")]).await
                }
                None if url.path().starts_with("/interaction/") => {
                    url = format!("{url}/abort").parse().expect("an address");
                    self.get(&url).await
                }
                _ => panic!("{url} shows {text}"),
            };
        }
        panic!("the provider sends its visitors round and round: {url}");
    }

    async fn get(&mut self, url: &Url) -> Response {
        let request = self.client.get(url.clone());
        self.send(request).await
    }

    async fn post(&mut self, url: &Url, fields: &[(&str, &str)]) -> Response {
        let form = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.client.post(url.clone()).body(form);
        let kind = "application/x-www-form-urlencoded";
        self.send(request.header(CONTENT_TYPE, kind)).await
    }

    async fn send(&mut self, request: RequestBuilder) -> Response {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = request.header(COOKIE, cookies.join("; "));
        let response = request.send().await.expect("an answer");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie
                .to_str()
                .expect("text")
                .split(';')
                .next()
                .unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }
}
