//! The page on which people browse the interface: Swagger UI, whose files a crate carries.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

use super::super::Edge;
use super::{File, SHORTLY};
use crate::problem::Problem;

/// Nothing from elsewhere, nothing inline, and nobody frames it. Swagger UI has pictures in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = include_str!("page/index.html");

const SCRIPT: &str = include_str!("page/start.js");

/// The files of the page that the crate carries, and what they are.
const CARRIED: [(&str, &str); 3] = [
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];

/// A new version of the program has other files under the same names.
const FOR_A_DAY: &str = "public, max-age=86400";

static PAGE: LazyLock<File> =
    LazyLock::new(|| File::new("text/html; charset=utf-8", SHORTLY, HTML));

static FILES: LazyLock<BTreeMap<&str, File>> = LazyLock::new(|| {
    let mut files = BTreeMap::new();
    let script = File::new("text/javascript; charset=utf-8", SHORTLY, SCRIPT);
    files.insert("start.js", script);
    for (name, content_type) in CARRIED {
        if let Some(content) = unpacked(name) {
            files.insert(name, File::new(content_type, FOR_A_DAY, content));
        }
    }
    files
});

pub(super) fn router() -> Router<Edge> {
    Router::new()
        .route(
            "/docs",
            get(async |headers: HeaderMap| guarded(PAGE.answer(&headers))),
        )
        .route("/docs/{name}", get(file))
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let file = FILES
        .get(name.as_str())
        .ok_or_else(Problem::route_not_found)?;
    Ok(guarded(file.answer(&headers)))
}

fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A file of the archive, by its name in whichever version that is of.
fn unpacked(name: &str) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).ok()?;
    let end = format!("/dist/{name}");
    let mut paths = archive.file_names().filter_map(Result::ok);
    let path = paths.find(|path| path.ends_with(&end))?.into_owned();
    drop(paths);
    let mut content = Vec::new();
    archive
        .by_name(&path)
        .ok()?
        .read_to_end(&mut content)
        .ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_there() {
        let mut names: Vec<&str> = CARRIED.iter().map(|(name, _)| *name).collect();
        names.push("start.js");
        for name in names {
            let file = FILES.get(name).expect(name);
            assert!(!file.content.is_empty(), "{name}");
            assert!(HTML.contains(&format!("docs/{name}")), "{name} is used");
        }
    }

    #[test]
    fn the_page_has_nothing_that_its_policy_forbids() {
        assert!(!HTML.contains("<style") && !HTML.contains("style="));
        assert_eq!(
            HTML.matches("<script").count(),
            HTML.matches("<script src=\"docs/").count()
        );
        assert!(!HTML.contains("http"));
    }
}
