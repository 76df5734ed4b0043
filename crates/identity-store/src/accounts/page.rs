//! One page of accounts: the database finds its ids, and only its rows are read and checked.

use super::rows::account_in;
use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::id::{AccountId, BundleId, ProviderId};
use crate::model::account::{
    AccountList, AccountOrder, AccountPage, AccountPosition, AccountQuery, CorruptRow,
};
use crate::store::Store;

impl Store {
    /// Returns at most `query.limit` accounts after a position.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn account_page(&self, query: AccountQuery) -> Result<AccountPage, StoreError> {
        let mut tx = self.snapshot().await?;
        let mut found = positions(&mut tx, &query).await?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let mut list = AccountList::default();
        for position in &found {
            // An id that is not valid cannot be asked for; it is reported like every row that cannot be read.
            let account = match position.id.parse::<AccountId>() {
                Ok(id) => account_in(&mut tx, &id).await,
                Err(error) => Err(StoreError::corrupt("account", &position.id, &error)),
            };
            match account {
                Ok(account) => list.accounts.push(self.located(account)),
                Err(StoreError::Corrupt { id, reason, .. }) => list.corrupt.push(CorruptRow { id, reason }),
                Err(error) => return Err(error),
            }
        }
        tx.commit().await?;
        Ok(AccountPage { list, next: found.pop().filter(|_| has_more) })
    }
}

/// Returns the positions of a page and of one more account.
async fn positions(tx: &mut Tx, query: &AccountQuery) -> Result<Vec<AccountPosition>, StoreError> {
    let provider = query.provider.as_ref().map(ProviderId::as_str);
    let bundle = query.bundle.as_ref().map(BundleId::as_str);
    let name = query.name.as_ref().map(|part| format!("%{}%", escaped(&part.to_lowercase())));
    let rows = i64::from(query.limit) + 1;
    let (key, id) = query.after.as_ref().map_or(("", ""), |after| (after.key.as_str(), after.id.as_str()));
    macro_rules! page {
        ($row:ty, $key:literal, $after:expr) => {
            sql!(
                all,
                $row,
                tx,
                concat!(
                    "SELECT ",
                    $key,
                    ", id FROM accounts WHERE (",
                    $key,
                    ", id) > ($1, $2) AND ($3 IS NULL OR provider = $3)
                       AND ($4 IS NULL OR id IN (SELECT account_id FROM identity_bindings WHERE bundle_id = $4))
                       AND ($5 IS NULL OR status = $5)
                       AND ($6 IS NULL OR lower(name) LIKE $6 ESCAPE '!' OR lower(display_name) LIKE $6 ESCAPE '!'
                            OR lower(email) LIKE $6 ESCAPE '!')
                     ORDER BY ",
                    $key,
                    ", id LIMIT $7"
                ),
                $after,
                id,
                provider,
                bundle,
                query.status.map(crate::model::account::Status::as_str),
                name.as_deref(),
                rows,
            )?
        };
    }
    let place = |(key, id): (String, String)| AccountPosition { key, id };
    Ok(match query.order {
        AccountOrder::Created => {
            let after = key.parse().unwrap_or(i64::MIN);
            let rows = page!((i64, String), "created_at", after);
            rows.into_iter().map(|(at, id)| AccountPosition { key: at.to_string(), id }).collect()
        }
        AccountOrder::Name => page!((String, String), "lower(name)", key).into_iter().map(place).collect(),
        AccountOrder::Provider => page!((String, String), "provider", key).into_iter().map(place).collect(),
        AccountOrder::Status => page!((String, String), "status", key).into_iter().map(place).collect(),
    })
}

/// Escapes the characters with a meaning in a pattern.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
