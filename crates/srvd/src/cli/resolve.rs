//! Finds the bundle or the account that a user names.

use identity_store::name_key;

use super::client::Connection;
use super::failure::{Failure, code};
use super::prompt;
use super::ui::{Ui, plain_line};
use crate::hint::Step;
use crate::wire::account;
use crate::wire::account::Account;
use crate::wire::bundle::{Bundle, List};

/// The destination of a login or a key. Both fields are empty for a bundle that the daemon creates and names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BundleDestination {
    /// The id of an existing bundle.
    pub(super) into_bundle_id: Option<String>,
    /// The name of a new bundle.
    pub(super) bundle_name: Option<String>,
}

/// Finds `wanted` among the daemon's bundles. If there is no such bundle, `wanted` is the name of a new one: with `new`,
/// or when the user says so on a terminal. A misspelt name makes no bundle.
pub(super) async fn target(
    daemon: &Connection,
    wanted: Option<&str>,
    new: bool,
    ui: &Ui,
) -> Result<BundleDestination, Failure> {
    let Some(wanted) = wanted else { return Ok(BundleDestination::default()) };
    let found = BundleDestination::of(&daemon.call(&List {}).await?.bundles, wanted);
    if found.into_bundle_id.is_some() || new {
        return Ok(found);
    }
    let shown = plain_line(wanted);
    if !ui.types {
        return Err(Failure::new(code::FAILED, format!("no bundle has the id or the name \"{shown}\""))
            .hint(Step::MakeBundle));
    }
    prompt::confirm(ui, &format!("There is no bundle \"{shown}\". Make it?"), false).await?;
    Ok(found)
}

/// Returns the id of an existing bundle.
pub(super) async fn existing(daemon: &Connection, wanted: &str) -> Result<String, Failure> {
    bundle(daemon, wanted).await.map(|bundle| bundle.id)
}

/// Returns an existing bundle.
pub(super) async fn bundle(daemon: &Connection, wanted: &str) -> Result<Bundle, Failure> {
    let bundles = daemon.call(&List {}).await?.bundles;
    let missing = || {
        Failure::new(code::FAILED, format!("no bundle has the id or the name \"{wanted}\""))
            .hint(Step::ListBundles)
    };
    find(&bundles, wanted).cloned().ok_or_else(missing)
}

/// Returns an existing account, by its id or by a name that no other account has.
pub(super) async fn account(daemon: &Connection, wanted: &str) -> Result<Account, Failure> {
    let mut accounts = daemon.call(&account::List::default()).await?.accounts;
    let meant = meant(&accounts, wanted)?;
    Ok(accounts.swap_remove(meant))
}

fn meant(accounts: &[Account], wanted: &str) -> Result<usize, Failure> {
    if let Some(position) = accounts.iter().position(|account| account.id == wanted.trim()) {
        return Ok(position);
    }
    let beginning = accounts.iter().enumerate().filter(|(_, account)| begins(&account.id, wanted.trim()));
    if let Some((position, _)) = only(beginning) {
        return Ok(position);
    }
    let wanted = wanted.trim().to_lowercase();
    let known = |account: &Account| {
        let names = [&account.display_name, &account.email, &account.subject];
        let mut names = names.into_iter().flatten().chain([&account.name]);
        names.any(|name| name.to_lowercase() == wanted)
    };
    let mut found = accounts.iter().enumerate().filter(|(_, account)| known(account));
    match (found.next(), found.next()) {
        (Some((position, _)), None) => Ok(position),
        (Some(_), Some(_)) => {
            Err(Failure::new(code::FAILED, format!("several accounts are called \"{wanted}\""))
                .hint(Step::UseAccountId))
        }
        (None, _) => {
            Err(Failure::new(code::FAILED, format!("no account has the id or the name \"{wanted}\""))
                .hint(Step::ListAccounts))
        }
    }
}

impl BundleDestination {
    fn of(bundles: &[Bundle], wanted: &str) -> Self {
        match find(bundles, wanted) {
            Some(bundle) => Self { into_bundle_id: Some(bundle.id.clone()), bundle_name: None },
            None => Self { into_bundle_id: None, bundle_name: Some(wanted.to_owned()) },
        }
    }
}

/// Finds a bundle. An id takes precedence over a name, so that no name can hide another bundle.
fn find<'a>(bundles: &'a [Bundle], wanted: &str) -> Option<&'a Bundle> {
    let wanted = name_key(wanted.trim());
    let by = |field: fn(&Bundle) -> &str| bundles.iter().find(|bundle| name_key(field(bundle)) == wanted);
    let beginning = || only(bundles.iter().filter(|bundle| begins(&bundle.id, &wanted)));
    by(|bundle| &bundle.id).or_else(|| by(|bundle| &bundle.name)).or_else(beginning)
}

/// The fewest characters of an id that name it.
const FEWEST: usize = 8;

/// Returns whether a text is the beginning of an id, long enough to be meant as one.
pub(super) fn begins(id: &str, wanted: &str) -> bool {
    wanted.len() >= FEWEST && id.starts_with(wanted)
}

/// Returns the only item.
pub(super) fn only<T>(mut items: impl Iterator<Item = T>) -> Option<T> {
    items.next().filter(|_| items.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Status;
    use crate::wire::bundle::UnboundPolicy;

    fn bundle(id: &str, name: &str) -> Bundle {
        Bundle {
            id: id.to_owned(),
            name: name.to_owned(),
            description: String::new(),
            is_blank: false,
            created_at: 0,
            updated_at: 0,
            bindings: Vec::new(),
            unbound: UnboundPolicy::default(),
        }
    }

    #[test]
    fn account_is_found_by_its_id_or_by_a_unique_name() {
        let account = |id: &str, email: &str| Account {
            id: id.to_owned(),
            ..super::super::list::tests::account("codex", Some(email), Status::Valid)
        };
        let mut accounts = [account("a1", "ann@x.y"), account("a2", "bob@x.y")];
        accounts[1].subject = Some("octocat".to_owned());
        let check = |wanted: &str, expected: Result<usize, &str>| {
            let found = meant(&accounts, wanted).map_err(|failure| failure.render());
            match (found, expected) {
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{wanted}: {said}"),
                (found, expected) => assert_eq!(found.ok(), expected.ok(), "{wanted}"),
            }
        };
        check("a2", Ok(1));
        check("Ann@X.Y", Ok(0));
        check("Octocat", Ok(1));
        check("Name", Err("several accounts are called \"name\""));
        check("a3", Err("no account has the id or the name"));
        accounts[0].id = "0194f1c2-7a".to_owned();
        accounts[1].id = "0194f1c2-7b".to_owned();
        assert_eq!(meant(&accounts, "0194f1c2-7b").ok(), Some(1));
        assert_eq!(meant(&accounts, "0194f1c2-").ok(), None, "two accounts begin so");
        accounts[1].id = "0294f1c2-7b".to_owned();
        assert_eq!(meant(&accounts, "0194f1c2").ok(), Some(0));
        assert_eq!(meant(&accounts, "0194f1").ok(), None, "it is too short");
    }

    #[test]
    fn bundle_target_prefers_ids_to_names_and_is_new_when_neither_matches() {
        let bundles = [bundle("b1", "b2"), bundle("b2", "Work"), bundle("b3", "Ümläut")];
        let check = |wanted: &str, id: Option<&str>| {
            let expect = BundleDestination {
                into_bundle_id: id.map(str::to_owned),
                bundle_name: id.is_none().then(|| wanted.to_owned()),
            };
            assert_eq!(BundleDestination::of(&bundles, wanted), expect);
        };
        check("b1", Some("b1"));
        check("b2", Some("b2"));
        check("B3", Some("b3"));
        check("work", Some("b2"));
        check(" WORK ", Some("b2"));
        check("üMLÄUT", Some("b3"));
        check("wor", None);
        check("Home", None);
        let ids = [bundle("0194f1c2-7a", "One"), bundle("0294f1c2-7b", "Two")];
        let found = |wanted: &str| find(&ids, wanted).map(|bundle| bundle.name.as_str());
        assert_eq!((found("0294f1c2"), found("0294f1")), (Some("Two"), None));
    }
}
