//! Objects in a database that its migrations did not make. A trigger, a view or a rule of another program could act with
//! the rights of srvd, or show it rows that do not exist.

use std::collections::BTreeSet;

use crate::db::{Tx, migration_texts, sql};
use crate::error::{OpenError, StoreError};
use crate::url::DatabaseKind;

/// The longest list of objects in an error.
const NAMED: i64 = 20;

/// Refuses a database with an object that the migrations up to its schema did not make: a table, a trigger, a view, an
/// index, a virtual table, a rule or a policy.
pub(crate) async fn refuse_foreign(tx: &mut Tx) -> Result<(), OpenError> {
    let objects = foreign(tx).await?;
    if objects.is_empty() { Ok(()) } else { Err(OpenError::ForeignObjects { objects }) }
}

/// Returns the foreign objects of the database, or of the connection's own schema of a server.
async fn foreign(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let known = known(tx.kind());
    let rows = match tx.kind() {
        DatabaseKind::Sqlite => {
            sql!(
                all,
                (String, String),
                tx,
                "SELECT CASE WHEN sql LIKE 'CREATE VIRTUAL%' THEN 'virtual table' ELSE type END, name
                 FROM sqlite_master
                 WHERE type IN ('trigger', 'view') OR sql LIKE 'CREATE VIRTUAL%' OR name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
                 ORDER BY type, name",
            )
        }
        // Indexes of a constraint belong to their table. `relkind`: table, view, materialized view, foreign table, index.
        DatabaseKind::Postgres => {
            sql!(
                all,
                (String, String),
                tx,
                "SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
                     WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' ELSE 'table' END AS kind, CAST(relname AS TEXT) AS name
                 FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
                   AND relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I')
                   AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = pg_class.oid)
                 UNION ALL
                 SELECT 'trigger', CAST(tgname AS TEXT) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
                 WHERE NOT tgisinternal
                   AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
                 UNION ALL
                 SELECT 'rule', CAST(rulename AS TEXT) FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class
                 WHERE relkind IN ('r', 'p')
                   AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
                 UNION ALL
                 SELECT 'policy', CAST(polname AS TEXT) FROM pg_policy JOIN pg_class ON pg_class.oid = polrelid
                 WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
                 ORDER BY 1, 2",
            )
        }
    }?;
    let foreign = rows.into_iter().filter(|(kind, name)| !known.contains(&(kind.as_str(), name.as_str())));
    let named = usize::try_from(NAMED).unwrap_or_default();
    Ok(foreign.take(named).map(|(kind, name)| format!("{kind} {name}")).collect())
}

/// Returns kind and name of every object that the migrations make. One that a later migration drops is among them, because
/// the schema may be from before.
fn known(kind: DatabaseKind) -> BTreeSet<(&'static str, &'static str)> {
    let mut known = BTreeSet::from([("table", "_sqlx_migrations")]);
    for line in migration_texts(kind).flat_map(str::lines) {
        let made = line.strip_prefix("CREATE ").map(|rest| rest.strip_prefix("UNIQUE ").unwrap_or(rest));
        let Some((what, rest)) = made.and_then(|made| made.split_once(' ')) else { continue };
        let name = rest.split([' ', '(']).next().unwrap_or_default();
        match what {
            "TABLE" => known.insert(("table", name)),
            "INDEX" => known.insert(("index", name)),
            _ => false,
        };
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_of_the_migrations_are_the_same_for_both_databases() {
        let sqlite = known(DatabaseKind::Sqlite);
        assert_eq!(sqlite, known(DatabaseKind::Postgres));
        assert!(sqlite.contains(&("table", "accounts")) && sqlite.contains(&("index", "accounts_provider")));
        assert!(sqlite.contains(&("table", "events")));
    }
}
