//! The links to an account, and the announcement of its changes.

use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, UserId};
use crate::model::changes::Change;
use crate::store::work::Work;

/// Announces an account. With `linked`, also announces the bundles, the users and the operator that see its status.
pub(crate) async fn announce(work: &mut Work, account: &AccountId, linked: bool) -> Result<(), StoreError> {
    if linked {
        let links = sql!(
            all,
            (String, String),
            &mut work.tx,
            "SELECT CAST('bundle' AS TEXT), bundle_id FROM identity_bindings WHERE account_id = $1
             UNION SELECT 'user', user_id FROM user_profiles WHERE account_id = $1
             UNION SELECT 'operator', account_id FROM operator_tokens WHERE account_id = $1
             ORDER BY 1, 2",
            account.as_str(),
        )?;
        for (kind, id) in links {
            match kind.as_str() {
                "bundle" => work.changed(Change::Bindings(parse::<BundleId>("binding", &id)?)),
                "user" => work.changed(Change::Profiles(parse::<UserId>("profile", &id)?)),
                _ => work.changed(Change::OperatorTokens),
            }
        }
    }
    work.changed(Change::Account(account.clone()));
    Ok(())
}

/// Returns the users whose profiles use an account, in order.
pub(crate) async fn users(tx: &mut Tx, account: &AccountId) -> Result<Vec<UserId>, StoreError> {
    let rows = sql!(
        all,
        (String,),
        tx,
        "SELECT DISTINCT user_id FROM user_profiles WHERE account_id = $1 ORDER BY user_id",
        account.as_str(),
    )?;
    rows.iter().map(|(user,)| parse("profile", user)).collect()
}

/// Parses an id from a row.
pub(crate) fn parse<T: std::str::FromStr<Err = crate::id::InvalidId>>(
    what: &'static str,
    id: &str,
) -> Result<T, StoreError> {
    id.parse().map_err(|error| StoreError::corrupt(what, id, &error))
}
