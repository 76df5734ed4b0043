//! The tokens of clients that were paired with the daemon.

use crate::authentic::{CLIENT_TOKENS, Fields, Seal, census};
use crate::db::{readable, row, sql};
use crate::error::StoreError;
use crate::id::ClientTokenId;
use crate::model::client::{ClientToken, NewClientToken};
use crate::names;
use crate::secret::Keyring;
use crate::store::Store;

/// The kind of row, for errors.
const WHAT: &str = "token";
/// The maximum number of tokens.
const MOST: i64 = 256;

row! {
    struct ClientTokenRow {
        id: String,
        name: String,
        scopes: String,
        origin: Option<String>,
        token_hash: String,
        created_at: i64,
    } with {
        seal: Seal<CLIENT_TOKENS>,
    }
}

impl Store {
    /// Keeps a client's token.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] if the name is not valid; [`StoreError::Conflict`] if there are too many tokens;
    /// [`StoreError::Busy`], [`StoreError::Full`] or another error of the database.
    pub async fn create_client_token(
        &self,
        new: NewClientToken,
        now: i64,
    ) -> Result<ClientToken, StoreError> {
        let name = names::name("name", &new.name)?;
        let id = ClientTokenId::generate();
        let mut work = self.write(now).await?;
        let (kept,) = sql!(one, (i64,), &mut work.tx, "SELECT COUNT(*) FROM client_tokens")?;
        if kept >= MOST {
            return Err(StoreError::conflict(
                WHAT,
                id.as_str(),
                "there are too many tokens; revoke one first",
            ));
        }
        let code = Fields::new(CLIENT_TOKENS)
            .with("id", id.as_str())
            .with("name", name.as_str())
            .with("scopes", new.scopes.as_str())
            .with("origin", new.origin.as_deref())
            .with("token_hash", new.hash.as_str())
            .code(&work.tx);
        census::added(&mut work.tx, CLIENT_TOKENS, [id.as_str(), ""]);
        sql!(
            run,
            &mut work.tx,
            "INSERT INTO client_tokens (id, name, scopes, origin, token_hash, created_at, mac)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            id.as_str(),
            name.as_str(),
            new.scopes.as_str(),
            new.origin.as_deref(),
            new.hash.as_str(),
            now,
            code,
        )?;
        work.audit("token.create", &format!("{id} {name} ({})", new.scopes));
        work.commit().await?;
        let NewClientToken { scopes, origin, hash, .. } = new;
        Ok(ClientToken { id, name, scopes, origin, hash, created_at: now })
    }

    /// Returns the tokens, oldest first. A row that cannot be read, or that was changed by another program, is logged and
    /// left out.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn client_tokens(&self) -> Result<Vec<ClientToken>, StoreError> {
        let mut tx = self.read().await?;
        let rows = sql!(
            each,
            ClientTokenRow,
            &mut tx,
            concat!(
                "SELECT id, name, scopes, origin, token_hash, created_at, ",
                signed!(client_tokens),
                " FROM client_tokens ORDER BY created_at, id"
            ),
        )?;
        let mut tokens = Vec::with_capacity(rows.len());
        for row in readable(rows, WHAT) {
            match row.parse(self.keyring()) {
                Ok(token) => tokens.push(token),
                Err(error) => tracing::error!(%error, "a client's token was skipped: its row cannot be used"),
            }
        }
        Ok(tokens)
    }

    /// Removes a token, also one whose row cannot be read.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the token does not exist; [`StoreError::Busy`], [`StoreError::Full`] or another
    /// error of the database.
    pub async fn revoke_client_token(&self, id: &ClientTokenId, now: i64) -> Result<(), StoreError> {
        let mut work = self.write(now).await?;
        census::removed(&mut work.tx, CLIENT_TOKENS, [id.as_str(), ""]).await?;
        let gone = sql!(run, &mut work.tx, "DELETE FROM client_tokens WHERE id = $1", id.as_str())?;
        if gone == 0 {
            return Err(StoreError::not_found(WHAT, id));
        }
        work.audit("token.revoke", id.as_str());
        work.commit().await
    }
}

impl ClientTokenRow {
    fn parse(self, keyring: &Keyring) -> Result<ClientToken, StoreError> {
        self.seal.expect(keyring, &self.id)?;
        let corrupt = |error: crate::id::InvalidId| StoreError::corrupt(WHAT, &self.id, &error);
        Ok(ClientToken {
            id: self.id.parse().map_err(corrupt)?,
            name: self.name,
            scopes: self.scopes,
            origin: self.origin,
            hash: self.token_hash,
            created_at: self.created_at,
        })
    }
}
