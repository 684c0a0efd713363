//! Predictions on paper before anybody measures: a file and its hash.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::figure::Sealed;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Predictions {
    pub(super) schema_version: u32,
    /// What the figures are, for who reads the file alone.
    pub(super) about: String,
    /// SHA-256 of the rollup's own report: what the predictions were made from.
    pub(super) report_sha256: String,
    /// What a call between processes was found to cost on this machine beside its messages and schedulers, ns.
    pub(super) crossing_ns: f64,
    /// Seed of data and load.
    pub(super) seed: u64,
    /// Placements by word, as files.
    pub(super) placements: Vec<(String, String)>,
    pub(super) figures: Vec<Sealed>,
}

/// A file that must not change.
#[derive(Debug)]
pub(super) struct Seal {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

impl Seal {
    /// Writes the predictions.
    pub(super) fn write(path: &Path, predictions: &Predictions) -> anyhow::Result<Self> {
        let mut text = serde_json::to_string_pretty(predictions).context("writing predictions")?;
        text.push('\n');
        fs::write(path, &text)
            .with_context(|| format!("cannot write {}; choose another --out", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            sha256: sha256(text.as_bytes()),
        })
    }

    /// Reads them back, and sees that nobody changed them meanwhile.
    pub(super) fn open(&self) -> anyhow::Result<Predictions> {
        let text =
            fs::read(&self.path).with_context(|| format!("cannot read {}", self.path.display()))?;
        let found = sha256(&text);
        if found != self.sha256 {
            bail!(
                "{} was changed after it was sealed: its hash is {found}, sealed was {}; run again",
                self.path.display(),
                self.sha256
            );
        }
        serde_json::from_slice(&text).context("reading predictions")
    }
}

#[cfg(test)]
mod tests {
    use super::super::figure::Subject;
    use super::*;

    #[test]
    fn a_changed_file_is_refused_and_an_untouched_one_reads_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("predictions.json");
        let predictions = Predictions {
            schema_version: 1,
            about: "test".to_owned(),
            report_sha256: sha256(b"abc"),
            crossing_ns: 0.0,
            seed: 1,
            placements: Vec::new(),
            figures: vec![Sealed {
                placement: "one".to_owned(),
                subject: Subject::Origin("GET /search".to_owned()),
                predicted: 2.5e6,
                interval: Some((2.25e6, 2.75e6)),
            }],
        };
        let seal = Seal::write(&path, &predictions).expect("written");
        assert_eq!(seal.open().expect("untouched"), predictions);
        // Of NIST's example.
        assert!(sha256(b"abc").starts_with("ba7816bf8f01cfea"));
        let text = fs::read_to_string(&path).expect("reads");
        fs::write(&path, text.replace("2500000.0", "2400000.0")).expect("writes");
        let error = seal.open().expect_err("refused").to_string();
        assert!(error.contains("was changed after it was sealed"), "{error}");
    }
}
