//! The credentials that a bundle launches with. They are read in one statement, because every start of an agent asks
//! for them.
//!
//! Callers who ask at the same time are answered by one statement, because a round trip to the database costs far more
//! than a row. The first caller in an empty queue sends a reader for a connection. When the reader has one, it answers
//! all callers queued until then. So no answer is older than its question. Nothing is kept between two statements, so
//! there is nothing to invalidate.

use std::sync::Arc;

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::rows::{AccountRow, columns};
use super::secrets::cell;
use crate::authentic::{IDENTITY_BINDINGS, Seal};
use crate::db::{Tx, Undecoded, decode, row, sql};
use crate::error::{CommonError, StoreError};
use crate::id::{BundleId, ProviderId};
use crate::model::account::{Account, CorruptRow, SecretRef};
use crate::model::credential::{BoundCredential, Credentials};
use crate::secret;
use crate::secret::{Keyring, SecretError};
use crate::store::Store;
use crate::store::credential_queue::{Question, numbered};
use crate::url::DatabaseKind;

/// A row that answers the question with this number, or the reason why it cannot be read.
struct AnswerRow {
    question: i64,
    row: Result<CredentialRow, Undecoded>,
}

row! {
    /// An account's row. It is returned once for each bundle that binds the account.
    struct CredentialRow {
        sealed_secret: Option<Vec<u8>>,
        generation: i64,
        bound: String,
    } with {
        account: AccountRow,
        /// The authentication of the binding that `bound` is from.
        binding: Seal<IDENTITY_BINDINGS>,
    }
}

impl CredentialRow {
    /// Returns the fault of the binding in the bundle that was asked for, if no holder of the key wrote it.
    fn own_fault(&self, bundle: &str, keyring: &Keyring) -> Option<String> {
        let reason = (self.bound == bundle).then(|| self.binding.reason(keyring).err()).flatten()?;
        Some(format!("its binding in the bundle {} is corrupt: {reason}", self.bound))
    }
}

impl<'r, R> FromRow<'r, R> for AnswerRow
where
    R: Row,
    CredentialRow: FromRow<'r, R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    &'static str: ColumnIndex<R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { question: row.try_get("question")?, row: decode(row) })
    }
}

impl Store {
    /// Returns the accounts that a bundle binds, or only the one for a provider, with the sealed secrets of their rows.
    /// A bundle that does not exist binds none.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Unavailable`] or another error of the database.
    pub async fn credentials(
        &self,
        bundle: &BundleId,
        provider: Option<&ProviderId>,
    ) -> Result<Credentials, StoreError> {
        let question = Question { bundle: bundle.clone(), provider: provider.cloned() };
        self.credential_queue().ask(question, || self.send_credential_reader()).await
    }

    /// The reader is a task of its own, so that a cancelled caller does not affect the others.
    fn send_credential_reader(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            let connection = store.read().await;
            let (callers, more) = store.credential_queue().take();
            if more {
                store.send_credential_reader();
            }
            let (questions, numbers) = numbered(&callers);
            let answers = match connection {
                Ok(_) if questions.is_empty() => Ok(Vec::new()),
                Ok(mut tx) => store.answers(&mut tx, &questions).await,
                Err(error) => Err(error),
            };
            let answers = answers.map_err(CommonError::from);
            for (caller, number) in callers.into_iter().zip(numbers) {
                let answer = match &answers {
                    Ok(answers) => Ok(answers.get(number).cloned().unwrap_or_default()),
                    Err(error) => Err(error.to_error()),
                };
                // The caller may have gone.
                let _ = caller.answer.send(answer);
            }
        });
    }

    /// Returns one answer for each question.
    async fn answers(&self, tx: &mut Tx, questions: &[&Question]) -> Result<Vec<Credentials>, StoreError> {
        let asked: Vec<_> = (0_i64..)
            .zip(questions)
            .map(|(number, Question { bundle, provider })| {
                (number, bundle.as_str(), provider.as_ref().map(ProviderId::as_str))
            })
            .collect();
        macro_rules! select {
            ($questions:literal) => {
                concat!(
                    "SELECT ",
                    columns!(),
                    ", sealed_secret, generation, others.bundle_id AS bound, ",
                    signed!(identity_bindings as others),
                    ", CAST(question.value ->> 0 AS BIGINT) AS question
                     FROM ",
                    $questions,
                    " JOIN identity_bindings ON identity_bindings.bundle_id = question.value ->> 1
                        AND (question.value ->> 2 IS NULL OR identity_bindings.provider = question.value ->> 2)
                     JOIN accounts ON accounts.id = identity_bindings.account_id
                     JOIN identity_bindings AS others ON others.account_id = accounts.id
                     ORDER BY CAST(question.value ->> 0 AS BIGINT), accounts.created_at, accounts.id, others.bundle_id"
                )
            };
        }
        let text = match tx.kind() {
            // With a limit, the column is read once per question, not once per part.
            DatabaseKind::Sqlite => select!("(SELECT value FROM jsonb_each($1) LIMIT -1) AS question"),
            DatabaseKind::Postgres => select!("json_array_elements(CAST($1 AS json)) AS question (value)"),
        };
        let asked_json = serde_json::to_string(&asked).map_err(|error| StoreError::Database(error.into()))?;
        let mut found = sql!(all, AnswerRow, tx, text, asked_json)?.into_iter().peekable();
        let answer = |(number, bundle, _): &(i64, &str, _)| {
            let own = std::iter::from_fn(|| found.next_if(|row| row.question == *number));
            self.answer(bundle, own.map(|row| row.row))
        };
        Ok(asked.iter().map(answer).collect())
    }

    /// Builds the answer from the rows of the question about one bundle.
    fn answer(
        &self,
        bundle: &str,
        rows: impl Iterator<Item = Result<CredentialRow, Undecoded>>,
    ) -> Credentials {
        let mut found = Credentials::default();
        let mut rows = rows.peekable();
        while let Some(row) = rows.next() {
            let row = match row {
                Ok(row) => row,
                Err(row) => {
                    // The row occurs once for each bundle that binds the account.
                    if found.corrupt.last().is_none_or(|last| last.id != row.id) {
                        found.corrupt.push(row.into_corrupt("account"));
                    }
                    continue;
                }
            };
            let id = row.account.id.clone();
            let mut bindings = vec![row.binding.check(self.keyring()).map(|()| row.bound.clone())];
            let mut own_fault = row.own_fault(bundle, self.keyring());
            let same =
                |other: &Result<CredentialRow, _>| matches!(other, Ok(other) if other.account.id == id);
            while let Some(Ok(other)) = rows.next_if(same) {
                own_fault = own_fault.or_else(|| other.own_fault(bundle, self.keyring()));
                bindings.push(other.binding.check(self.keyring()).map(|()| other.bound));
            }
            let bound_to = bindings.into_iter().filter_map(Result::ok).collect();
            match own_fault.map_or_else(|| row.account.parse(self.keyring(), bound_to), Err) {
                Ok(account) => {
                    let account = self.located(account);
                    let secret = self.sealed_in(&account, row.sealed_secret.as_deref(), row.generation);
                    found.held.push(BoundCredential { account: Arc::new(account), secret });
                }
                Err(reason) => found.corrupt.push(CorruptRow { id, reason }),
            }
        }
        found
    }

    fn sealed_in(
        &self,
        account: &Account,
        sealed: Option<&[u8]>,
        generation: i64,
    ) -> Option<Result<secrecy::SecretString, Arc<StoreError>>> {
        let open = || {
            let sealed = sealed.ok_or(SecretError::Absent)?;
            Ok(secret::open(self.keyring(), cell(&account.id, generation)?, sealed)?)
        };
        (account.secret_ref == SecretRef::Sealed).then(|| open().map_err(Arc::new))
    }
}
