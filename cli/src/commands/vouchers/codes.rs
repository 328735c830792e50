//! Where codes go that are shown once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::accounts::text;
use crate::client::ApiError;
use crate::exit::Failure;
use crate::output;

/// Where codes go: each as it arrives, so that those that did are there whatever happens.
pub(super) struct Codes {
    file: Option<(PathBuf, File)>,
    /// Until the end, for JSON.
    kept: Option<Vec<Value>>,
    /// How many arrived.
    pub(super) number: u64,
}

impl Codes {
    /// Into a new file, or to the output when there is no path.
    pub(super) fn to(path: Option<&Path>, as_json: bool) -> Result<Self, Failure> {
        let open = |path: &Path| {
            // They are as good as money.
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path);
            let file = file.map_err(|error| {
                Failure::usage(format!("{} cannot be made: {error}", path.display()))
            })?;
            Ok::<_, Failure>((path.to_owned(), file))
        };
        Ok(Self {
            file: path.map(open).transpose()?,
            kept: as_json.then(Vec::new),
            number: 0,
        })
    }

    /// Takes the codes of one answer.
    pub(super) fn take(&mut self, answer: &Value, campaign: &Value) -> Result<(), ApiError> {
        let codes = answer["codes"].as_array().cloned().unwrap_or_default();
        let is_first = self.number == 0;
        self.number += codes.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.extend(codes);
            return Ok(());
        }
        let mut lines = String::new();
        if is_first && !codes.is_empty() {
            lines.push_str("code,campaign,expires\n");
        }
        let (name, expires) = (text(campaign, "name"), text(campaign, "expire_time"));
        for code in codes.iter().filter_map(Value::as_str) {
            lines.push_str(&format!("{code},{name},{expires}\n"));
        }
        self.write(&lines)
    }

    fn write(&mut self, text: &str) -> Result<(), ApiError> {
        let written = match &mut self.file {
            None => output::bytes(text.as_bytes()),
            Some((path, file)) => file
                .write_all(text.as_bytes())
                .map_err(|error| anyhow::anyhow!("{} cannot be written: {error}", path.display())),
        };
        written.map_err(|error| ApiError::Local(format!("{error:#}")))
    }

    /// Sees to it that they are on the disk.
    pub(super) fn finish(mut self, campaign: &Value) -> Result<(), Failure> {
        if let Some(codes) = self.kept.take() {
            let all = json!({ "campaign": campaign, "codes": codes });
            let text = serde_json::to_string_pretty(&all).map_err(anyhow::Error::from)?;
            self.write(&format!("{text}\n"))?;
        }
        if let Some((path, file)) = self.file {
            file.sync_all().map_err(|error| {
                anyhow::anyhow!("{} cannot be written: {error}", path.display())
            })?;
        }
        Ok(())
    }

    /// Leaves no empty file behind; one with codes stays.
    pub(super) fn abandon(mut self) {
        if let Some(codes) = self.kept.take()
            && let Err(error) = self.write(&codes_as_lines(&codes))
        {
            tracing::warn!(%error, "codes that arrived are lost");
        }
        if let Some((path, _)) = &self.file
            && self.number == 0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the empty file stays");
        }
    }
}

fn codes_as_lines(codes: &[Value]) -> String {
    let lines = codes.iter().filter_map(Value::as_str);
    lines.map(|code| format!("{code}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn campaign() -> Value {
        json!({ "name": "odyssey", "expire_time": "2027-02-01T00:00:00Z" })
    }

    fn answer(codes: &[&str]) -> Value {
        json!({ "campaign": null, "codes": codes })
    }

    #[test]
    fn codes_are_a_table_in_a_file_of_the_operators_own() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("odyssey.csv");
        let mut codes = Codes::to(Some(&path), false).unwrap();
        codes.take(&answer(&["A-1"]), &campaign()).unwrap();
        codes.take(&answer(&["B-2"]), &campaign()).unwrap();
        assert_eq!(codes.number, 2);
        codes.finish(&campaign()).unwrap();
        let expected = "code,campaign,expires\n\
            A-1,odyssey,2027-02-01T00:00:00Z\nB-2,odyssey,2027-02-01T00:00:00Z\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            Codes::to(Some(&path), false).is_err(),
            "it is not written over"
        );
    }

    #[test]
    fn json_holds_campaign_and_codes() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("odyssey.json");
        let mut codes = Codes::to(Some(&path), true).unwrap();
        codes.take(&answer(&["A-1", "B-2"]), &campaign()).unwrap();
        codes.finish(&campaign()).unwrap();
        let file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(file["codes"], json!(["A-1", "B-2"]));
        assert_eq!(file["campaign"]["name"], "odyssey");
    }

    #[test]
    fn what_has_arrived_stays_when_the_rest_does_not_come() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("odyssey.csv");
        Codes::to(Some(&path), false).unwrap().abandon();
        assert!(!path.exists(), "an empty file is no use");
        for as_json in [false, true] {
            let path = root.path().join(format!("json-{as_json}"));
            let mut codes = Codes::to(Some(&path), as_json).unwrap();
            codes.take(&answer(&["A-1"]), &campaign()).unwrap();
            codes.abandon();
            assert!(std::fs::read_to_string(&path).unwrap().contains("A-1"));
        }
    }
}
