//! Bundles and their bindings.

use std::collections::BTreeSet;

use super::share;
use super::writes::{insert, name_taken, unprotected};
use crate::accounts::delete::delete_row;
use crate::accounts::leftovers;
use crate::accounts::rows::account_in;
use crate::authentic::{IDENTITY_BINDINGS, IDENTITY_BUNDLES, Page, Seal, census, fields_in};
use crate::db::{Tx, readable, row, sql};
use crate::error::StoreError;
use crate::id::{BundleId, ProviderId};
use crate::model::account::{AccountKind, History, Owner, Status};
use crate::model::bundle::{
    Binding, Bundle, BundleEdit, DeletedBundle, NewBundle, UnboundPolicy, UnboundRule,
};
use crate::model::changes::Change;
use crate::model::share::SharePolicy;
use crate::secret::Keyring;
use crate::store::Store;
use crate::{instances, names, tombstones};

row! {
    struct BundleRow {
        id: String,
        name: String,
        description: String,
        created_at: i64,
        updated_at: i64,
        unbound: Option<String>,
        unbound_own: Option<String>,
        unbound_sealed: Option<String>,
    } with {
        seal: Seal<IDENTITY_BUNDLES>,
    }
}

row! {
    /// A binding, and the status of its account.
    struct BindingRow {
        bundle_id: String,
        provider: String,
        account_id: String,
        status: String,
    } with {
        seal: Seal<IDENTITY_BINDINGS>,
    }
}

/// Selects the columns of [`BundleRow`] with the conditions in `$rest`.
macro_rules! select_bundle {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, description, created_at, updated_at, unbound, unbound_own, unbound_sealed, ",
            signed!(identity_bundles),
            " FROM identity_bundles ",
            $rest
        )
    };
}

impl Store {
    /// Returns all bundles, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn bundles(&self) -> Result<Vec<Bundle>, StoreError> {
        let mut tx = self.snapshot().await?;
        let rows = sql!(each, BundleRow, &mut tx, select_bundle!("ORDER BY created_at, id"))?;
        let bindings = bindings_in(&mut tx, None).await?;
        tx.commit().await?;
        let mut by_bundle: std::collections::HashMap<String, Vec<Binding>> = std::collections::HashMap::new();
        for (bundle, binding) in bindings {
            by_bundle.entry(bundle).or_default().push(binding);
        }
        let mut bundles = Vec::with_capacity(rows.len());
        for row in readable(rows, "bundle") {
            let bindings = by_bundle.remove(&row.id).unwrap_or_default();
            match row.parse(self.keyring(), bindings) {
                Ok(bundle) => bundles.push(bundle),
                // One bad row must not hide the others. A request for that bundle by its id is an error.
                Err(error) => tracing::error!(%error, "a bundle was skipped: its row cannot be read"),
            }
        }
        Ok(bundles)
    }

    /// Returns one bundle.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the bundle does not exist; [`StoreError::Corrupt`] if the row cannot be read;
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn bundle(&self, id: &BundleId) -> Result<Bundle, StoreError> {
        let mut tx = self.snapshot().await?;
        let found = bundle_in(&mut tx, id).await;
        tx.commit().await?;
        match found {
            Ok(bundle) => Ok(bundle),
            Err(error) => Err(self.absent(IDENTITY_BUNDLES, id.as_str(), error).await),
        }
    }

    /// Returns the bundle of that name, without regard to case.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the row cannot be read; [`StoreError::Busy`], [`StoreError::Unavailable`] or
    /// another error of the database.
    pub async fn bundle_named(&self, name: &str) -> Result<Option<Bundle>, StoreError> {
        let mut tx = self.snapshot().await?;
        let row = sql!(
            optional,
            BundleRow,
            &mut tx,
            select_bundle!("WHERE name_key = $1 OR name_key = $2 ORDER BY name_key <> $1 LIMIT 1"),
            names::name_key(name.trim()),
            names::earlier_name_key(name.trim()),
        )?;
        let Some(row) = row else { return Ok(None) };
        let bundle = complete(&mut tx, row).await?;
        tx.commit().await?;
        Ok(Some(bundle))
    }

    /// Returns the treatment of the providers that a bundle does not bind, and the providers that it binds.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the bundle does not exist; [`StoreError::Busy`], [`StoreError::Unavailable`] or
    /// another error of the database.
    pub async fn launch_policy(
        &self,
        id: &BundleId,
    ) -> Result<(UnboundPolicy, BTreeSet<ProviderId>), StoreError> {
        let mut tx = self.snapshot().await?;
        let bundle = bundle_in(&mut tx, id).await?;
        tx.commit().await?;
        Ok((bundle.unbound, bundle.bindings.into_iter().map(|binding| binding.provider).collect()))
    }

    /// Creates a bundle. Its homes get the person's own setup.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if a text is not valid; [`StoreError::Conflict`] if the id or the name is taken;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn create_bundle(&self, new: NewBundle, now: i64) -> Result<Bundle, StoreError> {
        let name = names::new_name("name", &new.name)?;
        let description = names::text("description", &new.description)?;
        let mut work = self.write(now).await?;
        insert(&mut work, &new.id, &name, &description).await?;
        share::write(&mut work, &new.id, &SharePolicy::MINE).await?;
        let bundle = bundle_in(&mut work.tx, &new.id).await?;
        work.commit().await?;
        Ok(bundle)
    }

    /// Changes a bundle's name, its description or its policy.
    ///
    /// # Errors
    /// [`StoreError::Protected`] for the bundle `blank`; [`StoreError::InvalidName`] if a text is not valid;
    /// [`StoreError::NotFound`] if the bundle does not exist; [`StoreError::Conflict`] if another bundle has the
    /// name; [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn update_bundle(
        &self,
        id: &BundleId,
        edit: BundleEdit,
        now: i64,
    ) -> Result<Bundle, StoreError> {
        unprotected(id)?;
        let name = edit.name.as_deref().map(|name| names::new_name("name", name)).transpose()?;
        let description =
            edit.description.as_deref().map(|text| names::text("description", text)).transpose()?;
        let mut work = self.write(now).await?;
        if let Some(name) = &name {
            let taken = sql!(
                optional,
                (String,),
                &mut work.tx,
                "SELECT id FROM identity_bundles WHERE (name_key = $1 OR id = $1) AND id <> $2",
                names::name_key(name),
                id.as_str(),
            )?;
            if taken.is_some() {
                return Err(name_taken(name));
            }
        }
        let rule = edit.unbound.as_ref().map(|policy| policy.rule.as_str());
        let own = edit.unbound.as_ref().map(|policy| list(&policy.own));
        let sealed = edit.unbound.as_ref().map(|policy| list(&policy.sealed));
        let row = fields_in(&mut work.tx, IDENTITY_BUNDLES, [id.as_str(), ""]).await?;
        sql!(
            run,
            &mut work.tx,
            "UPDATE identity_bundles SET name = COALESCE($2, name), name_key = COALESCE($3, name_key),
                 description = COALESCE($4, description), updated_at = $5, unbound = COALESCE($6, unbound),
                 unbound_own = COALESCE($7, unbound_own), unbound_sealed = COALESCE($8, unbound_sealed)
             WHERE id = $1",
            id.as_str(),
            name.as_deref(),
            name.as_deref().map(names::name_key),
            description.as_deref(),
            now,
            rule,
            own.as_deref(),
            sealed.as_deref(),
        )?;
        let name_key = name.as_deref().map(names::name_key);
        row.or_keep("name", name.as_deref())
            .or_keep("name_key", name_key.as_deref())
            .or_keep("description", description.as_deref())
            .or_keep("unbound", rule)
            .or_keep("unbound_own", own.as_deref())
            .or_keep("unbound_sealed", sealed.as_deref())
            .sign(&mut work.tx, [id.as_str(), ""])
            .await?;
        let bundle = bundle_in(&mut work.tx, id).await?;
        work.audit("bundle.update", id.as_str());
        work.changed(Change::Bundles);
        work.commit().await?;
        Ok(bundle)
    }

    /// Deletes a bundle together with the accounts owned by bundles that no other bundle binds. Logins of their
    /// providers are no longer adopted. Their directories are recorded until [`Store::forget_leftover`]. A bundle whose
    /// row cannot be read is deleted in the same way.
    ///
    /// # Errors
    /// [`StoreError::Protected`] for the bundle `blank`; [`StoreError::NotFound`] if the bundle does not exist;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn delete_bundle(
        &self,
        id: &BundleId,
        history: History,
        now: i64,
    ) -> Result<DeletedBundle, StoreError> {
        unprotected(id)?;
        let mut work = self.write(now).await?;
        let bundle = match bundle_in(&mut work.tx, id).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::warn!(bundle = %id, %error, "a corrupt bundle is deleted");
                remains(&mut work.tx, id).await?
            }
            found => found?,
        };
        let mut accounts = Vec::new();
        work.changed(Change::Bundles);
        work.changed(Change::Bindings(id.clone()));
        for binding in &bundle.bindings {
            work.changed(Change::Account(binding.account.clone()));
            match account_in(&mut work.tx, &binding.account).await {
                Ok(account) if account.owner == Owner::Bundle && account.bound_to == [id.clone()] => {
                    accounts.push(account);
                }
                // A row that cannot be read stays, unbound and reported; the bundle can be deleted anyway.
                Ok(_) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut left = Vec::new();
        for account in &accounts {
            left.extend(leftovers::of(&account.provider, &account.secret_ref, history));
            delete_row(&mut work, &account.id).await?;
            if account.kind == AccountKind::OAuth {
                tombstones::decline(&mut work.tx, &account.provider, now).await?;
            }
        }
        for leftover in &left {
            leftovers::note(&mut work.tx, leftover, now).await?;
        }
        let instances = instances::release(&mut work.tx, id, now).await?;
        let bindings =
            sql!(all, Page, &mut work.tx, listed!(identity_bindings, "bundle_id = $1"), id.as_str())?;
        census::gone(&mut work.tx, IDENTITY_BINDINGS, bindings);
        census::removed(&mut work.tx, IDENTITY_BUNDLES, [id.as_str(), ""]).await?;
        sql!(run, &mut work.tx, "DELETE FROM identity_bundles WHERE id = $1", id.as_str())?;
        work.audit("bundle.delete", id.as_str());
        work.commit().await?;
        let accounts = accounts.into_iter().map(|account| self.located(account)).collect();
        let leftovers = left.into_iter().map(|leftover| self.located_leftover(leftover)).collect();
        Ok(DeletedBundle { bundle, accounts, instances, leftovers })
    }
}

/// Reads one bundle within an open transaction.
pub(crate) async fn bundle_in(tx: &mut Tx, id: &BundleId) -> Result<Bundle, StoreError> {
    let row = sql!(optional, BundleRow, tx, select_bundle!("WHERE id = $1"), id.as_str(),)?;
    complete(tx, row.ok_or_else(|| StoreError::not_found("bundle", id))?).await
}

/// Returns a bundle whose row cannot be read, with its bindings.
async fn remains(tx: &mut Tx, id: &BundleId) -> Result<Bundle, StoreError> {
    let bindings = bindings_in(tx, Some(id.as_str())).await?;
    Ok(Bundle {
        is_blank: false,
        id: id.clone(),
        name: id.to_string(),
        description: String::new(),
        created_at: 0,
        updated_at: 0,
        unbound: UnboundPolicy::of(UnboundRule::Sealed),
        bindings: bindings.into_iter().map(|(_, binding)| binding).collect(),
    })
}

async fn complete(tx: &mut Tx, row: BundleRow) -> Result<Bundle, StoreError> {
    let bindings = bindings_in(tx, Some(&row.id)).await?;
    row.parse(&tx.keyring, bindings.into_iter().map(|(_, binding)| binding).collect())
}

/// Returns the bindings of one bundle, or of all, in order of their providers.
async fn bindings_in(tx: &mut Tx, bundle: Option<&str>) -> Result<Vec<(String, Binding)>, StoreError> {
    macro_rules! select {
        ($condition:literal) => {
            concat!(
                "SELECT identity_bindings.bundle_id AS bundle_id, identity_bindings.provider AS provider, account_id,
                     status, ",
                signed!(identity_bindings),
                " FROM identity_bindings JOIN accounts ON accounts.id = identity_bindings.account_id",
                $condition,
                " ORDER BY identity_bindings.bundle_id, identity_bindings.provider"
            )
        };
    }
    // There are two texts. With an optional condition in one text, the database would search all rows for those of one
    // bundle.
    let rows = match bundle {
        Some(bundle) => {
            sql!(each, BindingRow, tx, select!(" WHERE identity_bindings.bundle_id = $1"), bundle)
        }
        None => sql!(each, BindingRow, tx, select!("")),
    }?;
    let mut found = Vec::with_capacity(rows.len());
    for row in readable(rows, "binding") {
        if !row.seal.fits(&tx.keyring, &row.bundle_id) {
            continue;
        }
        let BindingRow { bundle_id: bundle, provider, account_id: account, status, .. } = row;
        match (provider.parse(), account.parse()) {
            (Ok(provider), Ok(account)) => {
                // The list of accounts reports the bad row. Here the status is only unknown.
                let status = status.parse().unwrap_or(Status::Unknown);
                found.push((bundle, Binding { provider, account, status }));
            }
            _ => {
                tracing::error!(bundle, "a binding was skipped: its row is corrupt");
            }
        }
    }
    Ok(found)
}

/// Returns the providers in the form that the database holds.
fn list(providers: &BTreeSet<ProviderId>) -> String {
    providers.iter().map(ProviderId::as_str).collect::<Vec<_>>().join(" ")
}

/// Returns the providers of a list in the database.
fn named(list: &str) -> BTreeSet<ProviderId> {
    list.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

impl BundleRow {
    fn parse(self, keyring: &Keyring, bindings: Vec<Binding>) -> Result<Bundle, StoreError> {
        self.seal.expect(keyring, &self.id)?;
        let id: BundleId =
            self.id.parse().map_err(|error| StoreError::corrupt("bundle", &self.id, &error))?;
        let rule = self.unbound.as_deref().map_or_else(|| UnboundRule::of_new(&id), UnboundRule::of_stored);
        Ok(Bundle {
            is_blank: id.is_blank(),
            id,
            name: self.name,
            description: self.description,
            created_at: self.created_at,
            updated_at: self.updated_at,
            bindings,
            unbound: UnboundPolicy {
                rule,
                own: named(self.unbound_own.as_deref().unwrap_or_default()),
                sealed: named(self.unbound_sealed.as_deref().unwrap_or_default()),
            },
        })
    }
}
