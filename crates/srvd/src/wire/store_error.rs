//! Conversion of store errors to wire errors. The text of a database or library error goes only to the log.

use identity_store::StoreError;

use super::error::{ApiError, Kind, with_causes};
use crate::hint::Step;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let answer = answer(&error);
        let refused = matches!(
            answer.kind(),
            Kind::NotFound | Kind::Conflict | Kind::InvalidInput | Kind::IdentityMismatch
        );
        if !refused {
            tracing::error!(error = with_causes(&error), "the store failed");
        }
        answer
    }
}

fn answer(error: &StoreError) -> ApiError {
    match error {
        StoreError::NotFound { what, id } => ApiError::not_found(what, id),
        StoreError::Conflict { what, id, detail } => {
            ApiError::new(Kind::Conflict, *detail).with("what", *what).with("id", id.as_str())
        }
        StoreError::Protected { what, id } => {
            let reason = format!("the {what} {id} cannot be bound, changed or deleted");
            ApiError::invalid_input("bundleId", reason)
        }
        StoreError::InvalidName { field, reason } => ApiError::invalid_input(field, reason),
        StoreError::IdentityMismatch { .. } => {
            let message = "the login belongs to a different user; nothing was changed";
            ApiError::new(Kind::IdentityMismatch, message).hint(Step::ReplaceLogin)
        }
        StoreError::Secret(_) => {
            ApiError::new(Kind::SecretUnavailable, "the stored secret could not be decrypted")
                .with("reason", "undecryptable")
        }
        StoreError::Busy(_) => passing("busy", "the database is busy", Step::TryInAMoment),
        StoreError::Full(_) => passing("full", "the database has no space left", Step::FreeSpace),
        StoreError::Unavailable(_) => {
            passing("unavailable", "the database cannot be reached or written to", Step::TryLater)
        }
        StoreError::Uncertain(_) => {
            let message = "the database did not confirm the change, so it is unknown whether it was made";
            ApiError::new(Kind::StoreUnavailable, message)
                .with("reason", "uncertain")
                .with("outcome", "unknown")
                .hint(Step::ReadFirst)
        }
        StoreError::Replaced(_) => passing(
            "replaced",
            "a file of the database was deleted or replaced while the daemon runs",
            Step::PutFileBack,
        ),
        StoreError::Database(_) => {
            ApiError::new(Kind::DatabaseFailed, "the database rejected a statement; nothing was changed")
                .hint(Step::ReportBug)
        }
        StoreError::Damaged(_) => {
            ApiError::new(Kind::DatabaseDamaged, "the database is damaged; nothing was changed")
                .hint(Step::RestoreBackup)
        }
        StoreError::Corrupt { what, id, .. } => {
            ApiError::new(Kind::Corrupt, format!("the stored row of this {what} cannot be read"))
                .with("what", *what)
                .with("id", id.as_str())
                .hint(Step::SeeLog)
        }
        StoreError::Migration { version, .. } => migration(*version),
        StoreError::Unsupported { operation, database, advice } => {
            let database = database.as_str();
            let message = format!("a {database} database does not support the operation {operation}");
            ApiError::new(Kind::Unsupported, message)
                .with("operation", *operation)
                .with("databaseKind", database)
                .hint(Step::UseTool { advice })
        }
    }
}

/// Returns the error for a temporary database failure.
fn passing(reason: &str, failure: &str, hint: Step) -> ApiError {
    ApiError::new(Kind::StoreUnavailable, format!("{failure}; nothing was changed"))
        .with("reason", reason)
        .hint(hint)
}

fn migration(version: Option<i64>) -> ApiError {
    let message = "the database could not be migrated to the schema of this srvd version";
    let error = ApiError::new(Kind::MigrationFailed, message).hint(Step::SeeLog);
    match version {
        Some(version) => error.with("version", version),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use identity_store::AccountId;
    use identity_store::secret::SecretError;
    use identity_store::url::DatabaseKind;
    use rpc_engine::RpcError;
    use serde_json::{Value, json};

    use super::*;

    const PLANTED: &str = "planted: no such column";

    fn cause() -> Box<dyn Error + Send + Sync> {
        PLANTED.into()
    }

    fn corrupt(source: Option<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError::Corrupt { what: "account", id: "a1".to_owned(), reason: PLANTED.to_owned(), source }
    }

    #[test]
    fn store_error_has_its_own_kind_and_data_but_not_the_text_of_its_cause() {
        let id = || "b1".to_owned();
        let account: AccountId = "0194a3f2-0000-7000-8000-000000000001".parse().unwrap();
        let person = || "a@b.c".to_owned();
        let check = |error: StoreError, kind: Kind, data: Value| {
            let wire = RpcError::from(ApiError::from(error));
            assert_eq!((wire.code, wire.kind()), (kind.code(), Some(kind.as_str())));
            let found = wire.data.clone().unwrap();
            for (name, value) in data.as_object().unwrap() {
                assert_eq!(&found[name], value, "{kind:?} {name}");
            }
            assert!(!serde_json::to_string(&wire).unwrap().contains("planted"), "{wire:?}");
        };
        let (what, what_id) = ("bundle", json!({"what": "bundle", "id": "b1"}));
        check(StoreError::NotFound { what, id: id() }, Kind::NotFound, what_id.clone());
        check(StoreError::Conflict { what, id: id(), detail: "the name is taken" }, Kind::Conflict, what_id);
        check(StoreError::Protected { what, id: id() }, Kind::InvalidInput, json!({"field": "bundleId"}));
        check(
            StoreError::InvalidName { field: "name", reason: "is empty" },
            Kind::InvalidInput,
            json!({"field": "name"}),
        );
        check(
            StoreError::IdentityMismatch { expected: person(), found: person(), account },
            Kind::IdentityMismatch,
            json!({}),
        );
        check(
            StoreError::Secret(SecretError::Tampered),
            Kind::SecretUnavailable,
            json!({"reason": "undecryptable"}),
        );
        check(StoreError::Busy(cause()), Kind::StoreUnavailable, json!({"reason": "busy"}));
        check(StoreError::Full(cause()), Kind::StoreUnavailable, json!({"reason": "full"}));
        check(StoreError::Unavailable(cause()), Kind::StoreUnavailable, json!({"reason": "unavailable"}));
        let unknown = json!({"reason": "uncertain", "outcome": "unknown"});
        check(StoreError::Uncertain(cause()), Kind::StoreUnavailable, unknown);
        check(StoreError::Replaced(cause()), Kind::StoreUnavailable, json!({"reason": "replaced"}));
        check(StoreError::Database(cause()), Kind::DatabaseFailed, json!({}));
        check(StoreError::Damaged(cause()), Kind::DatabaseDamaged, json!({}));
        check(corrupt(None), Kind::Corrupt, json!({"what": "account", "id": "a1"}));
        check(corrupt(Some(cause())), Kind::Corrupt, json!({"what": "account", "id": "a1"}));
        check(
            StoreError::Migration { version: Some(7), source: cause() },
            Kind::MigrationFailed,
            json!({"version": 7}),
        );
        let unsupported = StoreError::Unsupported {
            operation: "copy",
            database: DatabaseKind::Postgres,
            advice: "use pg_dump",
        };
        check(
            unsupported,
            Kind::Unsupported,
            json!({"operation": "copy", "databaseKind": "postgres", "hint": "use pg_dump"}),
        );
    }
}
