use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

/// The file of some lines.
fn file_of(lines: &[String], end: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for line in lines {
        file.write_all(format!("{line}{end}").as_bytes()).unwrap();
    }
    file.flush().unwrap();
    file
}

fn password(number: u32) -> Password {
    Password::shown(&format!("password number {number}"))
}

/// The lines of so many passwords, in order.
fn lines_of(count: u32) -> Vec<String> {
    let line = |number: u32| {
        let hash = String::from_utf8(hash_of(&password(number)).to_vec()).unwrap();
        // Counts of one to twenty digits.
        format!("{hash}:{}", "7".repeat(1 + number as usize % 20))
    };
    let mut lines: Vec<String> = (0..count).map(line).collect();
    lines.sort();
    lines
}

#[test]
fn hashes_are_those_of_the_public_lists() {
    let hash = hash_of(&Password::shown("password"));
    assert_eq!(&hash, b"5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8");
}

#[test]
fn every_line_is_found_and_nothing_else() {
    for count in [1, 2, 60, 100, 200, 5000] {
        for end in ["\n", "\r\n"] {
            let file = file_of(&lines_of(count), end);
            let list = BreachedPasswords::open(file.path()).unwrap();
            for number in 0..count {
                assert!(
                    list.find(&hash_of(&password(number))).unwrap(),
                    "{number} of {count}"
                );
            }
            for number in count..2 * count {
                assert!(
                    !list.find(&hash_of(&password(number))).unwrap(),
                    "{number} of {count}"
                );
            }
            for edge in [[b'0'; HASH_BYTES], [b'F'; HASH_BYTES]] {
                assert!(!list.find(&edge).unwrap());
            }
        }
    }
}

#[test]
fn last_line_needs_no_end() {
    let file = file_of(&[lines_of(3000).join("\n")], "");
    let list = BreachedPasswords::open(file.path()).unwrap();
    let is_there = |number| list.find(&hash_of(&password(number))).unwrap();
    assert!((0..3000).all(is_there));
}

#[track_caller]
fn check(lines: &[String], problem: &str) {
    let file = file_of(lines, "\n");
    let refused = BreachedPasswords::open(file.path())
        .unwrap_err()
        .to_string();
    assert!(refused.contains(problem), "{refused}");
    assert!(
        refused.contains(&file.path().display().to_string()),
        "{refused}"
    );
}

#[test]
fn what_is_no_such_list_is_refused_at_the_start() {
    let no_line = "is no upper-case SHA-1";
    let hash = "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8";
    check(&[], "it is empty");
    check(&[String::new()], no_line);
    check(&["password".to_owned()], no_line);
    check(&[hash.to_owned()], no_line);
    check(&[format!("{hash}:")], no_line);
    check(&[format!("{hash}:many")], no_line);
    check(&[format!("{}:1", hash.to_lowercase())], no_line);
    check(&[format!("{}:1", &hash[..32])], no_line);
    check(&["x".repeat(1 << 20)], no_line);
    check(&[format!("{hash}:1"), format!("{hash}:1")], "not in order");
    for count in [20, 5000] {
        let mut lines = lines_of(count);
        lines.reverse();
        check(&lines, "not in order");
    }
    // Halves of which each is in order.
    let mut lines = lines_of(5000);
    lines.rotate_left(2500);
    check(&lines, "not in order");
    let mut lines = lines_of(5000);
    lines[4999] = "the end".to_owned();
    check(&lines, no_line);
    let nowhere = BreachedPasswords::open(Path::new("/there/is/no/such/file"));
    assert!(matches!(nowhere, Err(Error::Options(_))));
    let folder = tempfile::tempdir().unwrap();
    let refused = BreachedPasswords::open(folder.path()).unwrap_err();
    assert!(refused.to_string().contains("it is no file"), "{refused}");
}

#[tokio::test]
async fn list_that_cannot_be_read_any_more_has_nothing() {
    let lines = lines_of(5000);
    let file = file_of(&lines, "\n");
    let list = BreachedPasswords::open(file.path()).unwrap();
    assert!(list.has(&password(4711)).await);
    file.as_file().set_len(100).unwrap();
    assert!(!list.has(&password(4711)).await);
}
