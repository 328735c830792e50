//! What the query of a download asks for: which object, and what a browser does with it.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use kinora_proto::scheduler::v1::ContentKind;

use crate::problem::Problem;

/// The longest name of a file.
const MAX_NAME_CHARS: usize = 100;

/// What a download asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    kind: ContentKind,
    is_shown_in_place: bool,
    name: Option<String>,
}

impl Asked {
    /// Reads a query that may have a `variant`.
    pub(super) fn with_variant(uri: &Uri) -> Result<Self, Problem> {
        read(uri, None)
    }

    /// Reads the query for an object that the path names.
    pub(super) fn of(kind: ContentKind, uri: &Uri) -> Result<Self, Problem> {
        read(uri, Some(kind))
    }

    /// Which object.
    pub(super) const fn kind(&self) -> ContentKind {
        self.kind
    }

    /// What a browser is to call the file, instead of its `usual` name; empty when it is to be shown in place. The end of
    /// the name says what the file is, whatever was asked for.
    pub(super) fn file_name(&self, usual: String) -> String {
        if self.is_shown_in_place {
            return String::new();
        }
        let Some(name) = &self.name else {
            return usual;
        };
        let end = usual.rfind('.').and_then(|dot| usual.get(dot..));
        let end = end.unwrap_or_default();
        if name.to_lowercase().ends_with(end) {
            name.clone()
        } else {
            format!("{name}{end}")
        }
    }
}

fn read(uri: &Uri, named: Option<ContentKind>) -> Result<Asked, Problem> {
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
        let detail = "the query cannot be read";
        Problem::new(StatusCode::BAD_REQUEST, "QUERY_INVALID", detail)
    })?;
    let (mut kind, mut download, mut name) = (None, None, None);
    for (parameter, value) in &query.0 {
        let is_repeated = match parameter.as_str() {
            "variant" if named.is_none() => kind.replace(variant(value)?).is_some(),
            "download" => download.replace(truth(value)?).is_some(),
            "filename" => name.replace(file_name(value)?).is_some(),
            _ => return Err(unknown(parameter, named.is_none())),
        };
        if is_repeated {
            return Err(Problem::invalid(parameter, "must stand once"));
        }
    }
    if download == Some(false) && name.is_some() {
        let detail = "stands beside `download=false`, which saves no file";
        return Err(Problem::invalid("filename", detail));
    }
    Ok(Asked {
        kind: named.or(kind).unwrap_or(ContentKind::Video),
        is_shown_in_place: download == Some(false),
        name,
    })
}

fn variant(value: &str) -> Result<ContentKind, Problem> {
    match value {
        "video" => Ok(ContentKind::Video),
        "thumbnail" => Ok(ContentKind::Thumbnail),
        "spritesheet" => Ok(ContentKind::Spritesheet),
        _ => {
            let detail = "must be video, thumbnail or spritesheet";
            Err(Problem::invalid("variant", detail))
        }
    }
}

fn truth(value: &str) -> Result<bool, Problem> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Problem::invalid("download", "must be true or false")),
    }
}

/// A name that no system takes for a path, or shows as another one.
fn file_name(value: &str) -> Result<String, Problem> {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let count = value.chars().count();
    if (1..=MAX_NAME_CHARS).contains(&count) && !value.starts_with('.') && !value.contains(is_odd) {
        return Ok(value.to_owned());
    }
    let detail = "must be 1 to 100 characters, no slash, backslash or control character among them, and no dot at its beginning";
    Err(Problem::invalid("filename", detail))
}

fn unknown(name: &str, has_variant: bool) -> Problem {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let detail = if has_variant {
        "is not a parameter; there are `variant`, `download` and `filename`"
    } else {
        "is not a parameter; there are `download` and `filename`"
    };
    Problem::invalid(&name, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Asked, Problem> {
        let uri = format!("/v1/videos/1/content?{query}");
        Asked::with_variant(&uri.parse().unwrap())
    }

    fn name(query: &str) -> String {
        asked(query).unwrap().file_name("kinora-1.mp4".to_owned())
    }

    #[test]
    fn a_clip_is_saved_under_its_usual_name_unless_something_else_is_said() {
        for query in ["", "download=1", "download=true", "variant=video"] {
            assert_eq!(name(query), "kinora-1.mp4", "{query}");
        }
        for query in ["download=0", "download=false"] {
            assert_eq!(name(query), "", "{query}");
        }
        assert_eq!(
            name("filename=A%20red%20star.mp4&download=1"),
            "A red star.mp4"
        );
        assert_eq!(name("filename=%C3%A9toile.MP4"), "étoile.MP4");
    }

    #[test]
    fn the_end_of_a_name_says_what_the_file_is() {
        assert_eq!(name("filename=star"), "star.mp4");
        assert_eq!(name("filename=star.exe"), "star.exe.mp4");
        assert_eq!(name("filename=star."), "star..mp4");
    }

    #[test]
    fn names_that_are_paths_or_break_out_of_a_header_are_refused() {
        let long = format!("filename={}", "x".repeat(101));
        for query in [
            "filename=",
            "filename=..%2F..%2Fetc%2Fpasswd",
            "filename=a%5Cb",
            "filename=a%0D%0AX-Evil:%201",
            "filename=a%00b",
            "filename=.bashrc",
            "filename=a%E2%80%AEgpj.exe",
            &long,
            "filename=a&filename=b",
            "filename=a&download=0",
        ] {
            let refused = asked(query).unwrap_err();
            assert!(format!("{refused:?}").contains("filename"), "{query}");
        }
    }

    #[test]
    fn a_path_that_names_its_object_has_no_variant() {
        let uri = "/v1/videos/1/still?variant=video".parse().unwrap();
        assert!(Asked::of(ContentKind::Still, &uri).is_err());
        let uri = "/v1/videos/1/still?filename=a".parse().unwrap();
        let asked = Asked::of(ContentKind::Still, &uri).unwrap();
        assert_eq!(asked.kind(), ContentKind::Still);
        assert_eq!(asked.file_name("kinora-1.png".to_owned()), "a.png");
    }
}
