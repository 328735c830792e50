use super::*;

const MAP: &str = r#"
marker = "blocks.0.q.weight"
prefixes = ["model."]
ignored = ["textual.*", "log_scale"]

[names]
"blocks.{n}.attn1.to_q.*" = "blocks.{n}.self_attn.q.*"
"up.{level}.resnets.{block}.gamma" = "up.{4*level+block}.gamma"
"up.{level}.sampler.*" = "up.{4*level+3}.*"
"layers.{n}.k_proj.*" = { stored = "layers.{n}.qkv.*", part = 1, of = 3 }
"position.weight" = { stored = "position", squeeze = true }
"#;

fn find(asked: &str) -> Stored {
    NameMap::from_toml(MAP).unwrap().find(asked)
}

#[test]
fn indices_and_rests_are_carried_over() {
    assert_eq!(
        find("blocks.17.attn1.to_q.bias").name,
        "blocks.17.self_attn.q.bias"
    );
    assert_eq!(find("up.2.resnets.1.gamma").name, "up.9.gamma");
    assert_eq!(find("up.2.sampler.conv.weight").name, "up.11.conv.weight");
}

#[test]
fn names_that_no_pattern_fits_stay_as_they_are() {
    for name in [
        "head.weight",
        "blocks.x.attn1.to_q.bias",
        "up.2.resnets.1.gamma.more",
    ] {
        assert_eq!(find(name).name, name);
    }
}

#[test]
fn slices_and_squeezed_shapes_are_told() {
    let slice = find("layers.3.k_proj.weight");
    assert_eq!(
        (slice.name.as_str(), slice.part),
        ("layers.3.qkv.weight", Some((1, 3)))
    );
    assert!(find("position.weight").squeeze);
}

#[test]
fn a_file_is_recognised_by_its_marker_with_or_without_a_prefix() {
    let map = NameMap::from_toml(MAP).unwrap();
    assert_eq!(map.prefix_in(|name| name == "blocks.0.q.weight"), Some(""));
    assert_eq!(
        map.prefix_in(|name| name == "model.blocks.0.q.weight"),
        Some("model.")
    );
    assert_eq!(map.prefix_in(|name| name == "other"), None);
}

#[test]
fn ignored_tensors_are_known() {
    let map = NameMap::from_toml(MAP).unwrap();
    assert!(map.ignores("textual.a.b") && map.ignores("log_scale"));
    assert!(!map.ignores("visual.a") && !map.ignores("log_scale.x"));
}

#[test]
fn broken_maps_are_refused() {
    for text in [
        "names = 3",
        "[names]\n\"a.{n\" = \"b\"",
        "[names]\n\"a\" = { stored = \"b\", part = 3, of = 3 }",
        "surprise = 1",
    ] {
        assert!(NameMap::from_toml(text).is_err(), "{text}");
    }
}
