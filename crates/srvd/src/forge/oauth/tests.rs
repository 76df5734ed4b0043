//! Sign-ins at forges: the four kinds as stand-ins on loopback, and a certified `OpenID` provider.

#[path = "../../../tests/it/forge/browser.rs"]
mod browser;
mod certified;
#[path = "../../../tests/it/forge/issuer.rs"]
#[allow(dead_code, reason = "the daemon's tests use the rest")]
mod issuer;
mod kinds;
#[path = "../../../tests/it/forge/standin.rs"]
#[allow(dead_code, reason = "the daemon's tests use the rest")]
mod standin;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::base::environment::Environment;
use crate::base::redact::Redactor;
use crate::config::forges;
use crate::config::forges::ForgeTable;
use crate::forge::oauth::flows::{FlowsConfig, KeepError, KeepTokens, KeptLogin, Obtained, Start};
use crate::forge::oauth::{Flows, Forge, Forges, Returns};
use tokio::sync::mpsc;

use self::standin::CLIENT_SECRET;

/// The time at which every grant in these tests is received, in Unix milliseconds.
const NOW: i64 = 1_790_000_000_000;
/// The maximum duration of a step before the test fails.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// The client side of one forge, and the results of its logins.
struct Operator {
    flows: Flows,
    forge: Arc<Forge>,
    obtained: mpsc::UnboundedReceiver<Obtained>,
}

/// Creates a client of a forge of this kind at this URL. If `keeps` is false, nothing can be stored.
fn operator(kind: &str, url: &str, keeps: bool) -> Operator {
    let text = format!(
        "[own]\ntype = \"{kind}\"\nbase_url = \"{url}/\"\nclient_id = \"srvd\"\nclient_secret_env = \"CLIENT_SECRET\"\nscopes = [\"openid\"]\n"
    );
    let tables: BTreeMap<String, ForgeTable> = toml::from_str(&text).unwrap();
    let environment = Environment::of([("CLIENT_SECRET", CLIENT_SECRET.to_owned())]);
    let forges =
        Forges::load(&forges::check(tables).unwrap(), &environment, Path::new("/nowhere"), || NOW).unwrap();
    let forge = forges.named("own").unwrap().clone();
    let (sender, obtained) = mpsc::unbounded_channel();
    let keep: KeepTokens = Arc::new(move |obtained| {
        let kept = if keeps {
            let login = obtained.identity.as_ref().ok().map(|identity| identity.login.clone());
            let over = |_| KeepError { code: "storage", text: "the test is over".into() };
            sender.send(obtained).map_err(over).map(|()| KeptLogin { account: "a1".into(), login })
        } else {
            Err(KeepError { code: "storage", text: "the disk is full".into() })
        };
        Box::pin(std::future::ready(kept))
    });
    let flows = Flows::new(FlowsConfig {
        forges,
        keep,
        moved: Arc::new(|_| {}),
        returns: Returns::default(),
        redactor: Redactor::default(),
        clock: || NOW,
    });
    flows.listens_at("127.0.0.1:7000".parse().ok());
    Operator { flows, forge, obtained }
}

impl Operator {
    fn start(&self) -> Start {
        Start { owner: "operator".into(), forge: self.forge.clone(), session: None }
    }
}
