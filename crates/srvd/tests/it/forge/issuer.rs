//! The certified provider installed by `scripts/issuer.sh`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The maximum duration of a step before the test fails.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// The provider, in a separate process.
pub(crate) struct Issuer {
    pub(crate) url: String,
    notes: watch::Receiver<Vec<Note>>,
    /// The process exits when its standard input closes or when this is dropped.
    _process: Child,
}

/// An action taken by the provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Note {
    /// The grant type of the request.
    pub(crate) grant: Option<String>,
    /// The refresh token in the request.
    pub(crate) sent: Option<String>,
    /// The refresh token in the response.
    pub(crate) given: Option<String>,
    /// The reason for an error.
    pub(crate) error: Option<String>,
    /// True if the provider revoked a whole grant.
    #[serde(default)]
    pub(crate) revoked: bool,
    /// The endpoint that took the action.
    pub(crate) by: Option<String>,
}

impl Issuer {
    /// Starts a provider with the endpoints of this kind of forge. Its access tokens are valid for `life` seconds.
    pub(crate) async fn start(kind: &str, life: u32) -> Self {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = crate_dir.ancestors().nth(2).unwrap();
        let dir = named("SRVD_TEST_ISSUER").unwrap_or_else(|| workspace.join("target/issuer"));
        assert!(dir.join("complete").is_file(), "no issuer in {}: run scripts/issuer.sh", dir.display());
        let clis = named("SRVD_TEST_CLIS").unwrap_or_else(|| workspace.join("target/clis"));
        let node = Some(clis.join("bin/node")).filter(|node| node.is_file()).unwrap_or_else(|| "node".into());
        let mut process = Command::new(node)
            .arg(crate_dir.join("tests/fixtures/issuer/issuer.mjs"))
            .arg(&dir)
            .args([kind, &life.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = tokio::time::timeout(PATIENCE, async {
            // The library may print warnings first.
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = serde_json::from_str::<Value>(&line)
                    .ok()
                    .and_then(|said| said["url"].as_str().map(str::to_owned))
                {
                    return url;
                }
            }
            panic!("the issuer exited before it was ready");
        });
        let url = said.await.unwrap();
        let (sender, notes) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let said: Note = serde_json::from_str(&line).unwrap();
                sender.send_modify(|notes: &mut Vec<Note>| notes.push(said));
            }
        });
        Self { url, notes, _process: process }
    }

    /// Waits until the provider's actions satisfy the condition, and returns the actions.
    pub(crate) async fn until(&self, enough: impl Fn(&[Note]) -> bool) -> Vec<Note> {
        let mut notes = self.notes.clone();
        let waited = tokio::time::timeout(PATIENCE, notes.wait_for(|notes| enough(notes))).await;
        let Ok(found) = waited else { panic!("the issuer only did {:?}", *self.notes.borrow()) };
        found.unwrap().clone()
    }

    /// Waits until the provider has answered `times` refreshes, successfully or with an error. Returns them.
    pub(crate) async fn refreshes(&self, times: usize) -> Vec<Note> {
        let refresh = |note: &&Note| note.grant.as_deref() == Some("refresh_token");
        let notes = self.until(|notes| notes.iter().filter(refresh).count() >= times).await;
        notes.into_iter().filter(|note| refresh(&note)).collect()
    }
}

fn named(variable: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the path is set by the test script, not by a user")]
    std::env::var_os(variable).map(PathBuf::from)
}
