use super::*;

const MODEL: &str = r#"
[models."m"]
title = "M"
family = "wan-t2v"
licence = { spdx = "CC-BY-NC-4.0", url = "https://example.org/terms", accept = true, text = "not for money" }
source = { hub = "https://hub.example.org", repo = "a/b", revision = "0123" }
needs = { download_bytes = 3, weights_bytes_bf16 = 3 }
defaults = { width = 64, height = 64, frames = 17, fps = 8, steps = 20, guidance = 2.0, sampler = "unipc", grid = "native" }
limits = { min_width = 64, max_width = 64, min_height = 64, max_height = 64, max_frames = 17, max_steps = 100, max_prompt_chars = 2000, max_guidance = 20.0 }
files = [{ path = "x/y.json", size = 3, sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }]
"#;

fn refusal(from: &str, to: &str) -> String {
    assert!(MODEL.contains(from), "{from}");
    let text = MODEL.replacen(from, to, 1);
    Catalogue::parse("test.toml", &text)
        .unwrap_err()
        .to_string()
}

#[test]
fn the_built_in_catalogue_has_every_wan_model() {
    let catalogue = Catalogue::built_in().unwrap();
    let ids: Vec<&str> = catalogue.models().map(|model| model.id.as_str()).collect();
    let expected = [
        "wan2.1-flf2v-14b-720p",
        "wan2.1-i2v-14b-480p",
        "wan2.1-i2v-14b-720p",
        "wan2.1-t2v-1.3b",
        "wan2.1-t2v-14b",
        "wan2.2-ti2v-5b",
    ];
    assert_eq!(ids, expected);
}

#[test]
fn the_built_in_models_are_pinned_and_free() {
    for model in Catalogue::built_in().unwrap().models() {
        assert_eq!(model.source.revision.len(), 40, "{}: a commit", model.id);
        assert_eq!(
            (model.licence.spdx.as_str(), model.licence.accept),
            ("Apache-2.0", false)
        );
        assert!(
            model
                .file(&RelativePath::new("config.json").unwrap())
                .is_some()
        );
    }
}

#[test]
fn large_files_of_one_content_have_one_digest() {
    let catalogue = Catalogue::built_in().unwrap();
    let mut digests = BTreeMap::new();
    let files = catalogue.models().flat_map(|model| &model.files);
    let shared = [
        "models_t5_umt5-xxl-enc-bf16.pth",
        "google/umt5-xxl/tokenizer.json",
    ];
    for file in files.filter(|file| shared.contains(&file.path.as_str())) {
        let first = digests
            .entry(&file.path)
            .or_insert((file.size, &file.sha256));
        assert_eq!(*first, (file.size, &file.sha256), "{}", file.path);
        assert!(file.sha256.is_some());
    }
    assert_eq!(digests.len(), 2);
}

#[test]
fn a_later_catalogue_wins() {
    let first = Catalogue::parse("a", MODEL).unwrap();
    let second = Catalogue::parse("b", &MODEL.replace("\"M\"", "\"N\"")).unwrap();
    let merged = Catalogue::built_in().unwrap().merged(first).merged(second);
    assert_eq!(merged.get("m").unwrap().title, "N");
    assert_eq!(merged.models().count(), 7);
}

#[test]
fn paths_that_leave_the_folder_are_refused_by_name() {
    assert!(refusal("x/y.json", "../y.json").contains("../y.json"));
    assert!(refusal("x/y.json", "store.json").contains("store.json"));
}

#[test]
fn contradictions_are_refused() {
    let check = |from, to, part: &str| {
        let reason = refusal(from, to);
        assert!(reason.contains(part), "{part}: {reason}");
    };
    check("\"m\"", "\"../m\"", "the id");
    check("\"m\"", "\"m.part\"", "the id");
    check("ba7816bf", "BA7816bf", "hex digits");
    check("size = 3", "size = 4", "download_bytes");
    check("a/b", "a/b/c", "owner/name");
    check("\"0123\"", "\"..\"", "revision");
    check("https://hub", "http://hub", "https");
    check("https://hub.example.org", "file:///etc", "https");
    check("steps = 20", "steps = 101", "steps 101");
    check("width = 64", "width = 65", "width 65");
    check("grid", "gird", "gird");
    check("accept", "acept", "acept");
}

#[test]
fn accepted_terms_are_those_terms() {
    let read = || {
        Catalogue::parse("a", MODEL)
            .unwrap()
            .get("m")
            .unwrap()
            .licence
            .clone()
    };
    let licence = read();
    let other = Licence {
        text: "not for fun".to_owned(),
        ..licence.clone()
    };
    assert_eq!(licence.digest(), read().digest());
    assert_ne!(licence.digest(), other.digest());
}

#[test]
fn the_card_has_the_shape_that_loaders_read() {
    let card = serde_json::to_value(
        Catalogue::parse("a", MODEL)
            .unwrap()
            .get("m")
            .unwrap()
            .card(),
    );
    let card = card.unwrap();
    assert_eq!(card["id"], "m");
    assert_eq!(card["licence"], "CC-BY-NC-4.0");
    assert_eq!(card["defaults"]["sampler"], "unipc");
    assert_eq!(card["limits"]["max_frames"], 17);
    assert_eq!(card["defaults"].get("shift"), None);
}
