//! The links to an account, and the announcement of its changes.

use super::Work;
use crate::db::sql;
use crate::{AccountId, BundleId, Change, StoreError, UserId};

/// Announces an account. With `linked`, also announces the bundles, the users and the operator that see its status.
pub(super) async fn announce(work: &mut Work, account: &AccountId, linked: bool) -> Result<(), StoreError> {
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
                "bundle" => work.changed(Change::Bindings(parse::<BundleId>("identity_bindings", &id)?)),
                "user" => work.changed(Change::Profiles(parse::<UserId>("user_profiles", &id)?)),
                _ => work.changed(Change::OperatorTokens),
            }
        }
    }
    work.changed(Change::Account(account.clone()));
    Ok(())
}

/// Parses an id from a row.
pub(super) fn parse<T: std::str::FromStr<Err = crate::InvalidId>>(
    table: &'static str,
    id: &str,
) -> Result<T, StoreError> {
    id.parse().map_err(|error| StoreError::corrupt(table, id, &error))
}
