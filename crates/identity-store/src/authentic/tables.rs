//! The list of tables, with the decision about each of their columns.
//!
//! A column that decides is listed in braces, any other after `open`, and a test fails for a column that is in neither. A
//! deciding column that a later migration adds must allow `NULL`: a column without a value adds nothing to the text, so
//! that rows from before the migration keep their code.

/// A table whose rows are authenticated.
#[derive(Debug)]
pub(crate) struct Table {
    /// The name of the table.
    pub(crate) name: &'static str,
    /// The kind of row, for errors.
    pub(crate) what: &'static str,
    /// The columns that decide, in the order of the text. The columns of the primary key are among them.
    pub(crate) columns: &'static [&'static str],
    /// The columns that do not decide.
    #[cfg_attr(
        not(test),
        allow(dead_code, reason = "the test that looks for columns without a decision reads it")
    )]
    pub(crate) open: &'static [&'static str],
    /// The name under which the text is selected.
    pub(crate) text: &'static str,
    /// The name under which the code is selected.
    pub(crate) mac: &'static str,
    /// The statement for the text and the code of the row with the key `$1`, `$2`.
    pub(super) read: &'static str,
    /// The statement for key, text and code of the row with the key `$1`, `$2`.
    pub(super) row: &'static str,
    /// The statement that counts all rows.
    pub(super) rows: &'static str,
    /// The statement for key, text and code of at most `$3` rows after the key `$1`, `$2`, by key.
    pub(super) page: &'static str,
    /// The statement that counts the rows that the key `$1` authenticates.
    pub(crate) count: &'static str,
    /// The statement that writes the code `$3` into the row with the key `$1`, `$2`.
    pub(super) write: &'static str,
}

/// The text of a row: `name=length:value;` for each column that has a value.
macro_rules! row_text {
    ($row:expr; $($column:ident)*) => {
        concat!(
            "(''"
            $(, " || COALESCE('", stringify!($column), "=' || length(CAST(", $row, ".", stringify!($column),
                " AS TEXT)) || ':' || CAST(", $row, ".", stringify!($column), " AS TEXT) || ';', '')")*,
            ")"
        )
    };
}

/// The second column of a primary key; an empty text if there is none.
macro_rules! second {
    () => {
        "CAST('' AS TEXT)"
    };
    ($column:ident) => {
        stringify!($column)
    };
}

macro_rules! tables {
    ($d:tt $(
        $index:ident = $number:literal, $what:literal: $table:ident ($key:ident $($second:ident)?)
            { $($column:ident)* } open { $($open:ident)* }
    )*) => {
        $(pub(crate) const $index: usize = $number;)*

        /// The tables, in the order of their numbers.
        pub(crate) static TABLES: &[Table] = &[$(Table {
            name: stringify!($table),
            what: $what,
            columns: &[$(stringify!($column)),*],
            open: &[$(stringify!($open)),*],
            text: concat!(stringify!($table), "_text"),
            mac: concat!(stringify!($table), "_mac"),
            read: concat!(
                "SELECT ", row_text!(stringify!($table); $($column)*), ", mac FROM ", stringify!($table),
                " WHERE ", stringify!($key), " = $1 AND ", second!($($second)?), " = $2"
            ),
            row: concat!(
                "SELECT ", stringify!($key), ", ", second!($($second)?), ", ",
                row_text!(stringify!($table); $($column)*), ", mac FROM ", stringify!($table),
                " WHERE ", stringify!($key), " = $1 AND ", second!($($second)?), " = $2"
            ),
            rows: concat!("SELECT count(*) FROM ", stringify!($table)),
            page: concat!(
                "SELECT ", stringify!($key), ", ", second!($($second)?), ", ",
                row_text!(stringify!($table); $($column)*), ", mac FROM ", stringify!($table),
                " WHERE (", stringify!($key), ", ", second!($($second)?), ") > ($1, $2) ORDER BY 1, 2 LIMIT $3"
            ),
            // Bytes 2 to 9 of a code are the id of its key.
            count: concat!("SELECT count(*) FROM ", stringify!($table), " WHERE substr(mac, 2, 8) = $1"),
            write: concat!(
                "UPDATE ", stringify!($table), " SET mac = $3 WHERE ", stringify!($key), " = $1 AND ",
                second!($($second)?), " = $2"
            ),
        }),*];

        /// Selects the text and the code of a row for its [`Seal`](super::Seal), from a table or from its alias.
        macro_rules! signed {
            $(
                ($table) => { signed!($table as $table) };
                ($table as $d row:ident) => {
                    concat!(
                        row_text!(stringify!($d row); $($column)*),
                        " AS ", stringify!($table), "_text, ", stringify!($d row), ".mac AS ", stringify!($table), "_mac"
                    )
                };
            )*
        }

        /// Selects key, text and code of the rows of a table with a condition, as [`Page`](super::Page) reads them.
        macro_rules! listed {
            $(
                ($table, $d condition:expr) => {
                    concat!(
                        "SELECT ", stringify!($key), ", ", second!($($second)?), ", ",
                        row_text!(stringify!($table); $($column)*), ", mac FROM ", stringify!($table), " WHERE ",
                        $d condition
                    )
                };
            )*
        }
    };
}

tables! { $
    // `status` and the times say how a credential was found, not where it goes; a writer of them can only keep one from use.
    ACCOUNTS = 0, "account": accounts (id) {
        id provider kind owner name display_name email subject base_url client_id secret_ref generation masked_tail
        keep_alive
    } open {
        sealed_secret scopes status status_reason evidence checked_at expires_at login_deadline_at created_at updated_at
        kept_at keep_tried_at keep_outcome keep_detail keep_next_at keep_failures keep_version refused_mark refused_at
        deadline_notice quota
    }
    // The boxes are bound to the id and the generation, which decide. The rest plans the next refresh.
    TOKENS = 1, "tokens": account_tokens (account_id) {
        account_id generation consumer token_type scopes issuer token_url token_auth_method
    } open {
        sealed_access access_expires_at access_expiry_source sealed_refresh refresh_expires_at refresh_expiry_source
        sealed_id id_expires_at id_expiry_source state state_since state_reason lease_holder lease_fence lease_until
        cut_off failures next_attempt_at next_refresh_at dead_refresh received_at last_refreshed_at
    }
    IDENTITY_BUNDLES = 2, "bundle": identity_bundles (id) {
        id name name_key description unbound unbound_own unbound_sealed share share_history
    } open { created_at updated_at }
    IDENTITY_BINDINGS = 3, "binding": identity_bindings (bundle_id provider) {
        bundle_id provider account_id
    } open { created_at }
    USER_PROFILES = 4, "profile": user_profiles (id) {
        id user_id agent_id provider model base_url identity account_id position label
    } open { created_at updated_at }
    OPERATOR_TOKENS = 5, "operator token": operator_tokens (account_id) {
        account_id forge_type base_url client_id subject login
    } open { created_at updated_at }
    PENDING_LOGINS = 6, "pending login": pending_logins (account_id) {
        account_id provider base_url client_id flow user_id hint_email
    } open { created_at }
    AGENT_INSTANCES = 7, "instance": agent_instances (id) {
        id definition_id name bundle_id
    } open { created_at updated_at ended_at }
    // The process is ended after a crash, if it is still the one of the row.
    LOGIN_SESSIONS = 8, "session": login_sessions (id) {
        id provider recipe target_bundle new_bundle pid process_start bundle_id account_id email target_user target_agent
        profile_id
    } open { state revision error error_kind hint exit_code started_at expires_at updated_at ended_at }
    // `active_forge` chooses a credential. The time is only shown.
    SERVICE_SETTINGS = 9, "setting": service_settings (key) {
        key value
    } open { updated_at }
    // A tombstone names a directory that is removed.
    TOMBSTONES = 10, "tombstone": tombstones (kind subject) {
        kind subject
    } open { created_at }
    // The hash and the scopes say who may call what; the origin, from which page.
    CLIENT_TOKENS = 11, "token": client_tokens (id) {
        id name scopes origin token_hash
    } open { created_at }
    // The operator's token is sent only to the active forge, so the last view decides nothing.
    FORGE_WATCHES = 12, "watched repository": forge_watches (base_url repo_key) {
        base_url repo_key forge_type repo
    } open { default_branch head requests etags checked_at changed_at problem created_at }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Tables with a protection of their own: the check value of a key, the signed chain, and the migrations' checksums.
    const OTHERWISE: &[&str] = &["crypto_keys", "audit_log", "audit_chain"];

    /// Returns the columns of each table after all migrations.
    fn schema() -> BTreeMap<String, Vec<String>> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let mut files: Vec<_> =
            std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for file in files {
            let mut table = String::new();
            for line in std::fs::read_to_string(file).unwrap().lines() {
                if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                    table = rest.split(' ').next().unwrap().to_owned();
                    tables.insert(table.clone(), Vec::new());
                } else if let Some(rest) = line.strip_prefix("ALTER TABLE ") {
                    let (changed, rest) =
                        rest.split_once(" ADD COLUMN ").expect("one column is added per line");
                    let column = rest.split(' ').next().unwrap().to_owned();
                    tables.get_mut(changed).unwrap().push(column);
                } else if let Some(rest) = line.strip_prefix("DROP TABLE ") {
                    tables.remove(rest.trim_end_matches(';'));
                } else if let Some(word) = line.strip_prefix("    ").and_then(|line| line.split(' ').next())
                    && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    && !word.is_empty()
                {
                    tables.get_mut(&table).unwrap().push(word.to_owned());
                }
            }
        }
        tables
    }

    #[test]
    fn every_column_of_the_schema_has_a_decision() {
        let schema = schema();
        for (name, columns) in &schema {
            if OTHERWISE.contains(&name.as_str()) {
                continue;
            }
            let table = TABLES.iter().find(|table| table.name == name);
            let table = table.unwrap_or_else(|| panic!("list the table {name} in authentic/tables.rs"));
            for column in columns.iter().filter(|column| *column != "mac") {
                let places = [table.columns, table.open].concat();
                let times = places.iter().filter(|listed| *listed == column).count();
                assert_eq!(
                    times, 1,
                    "list {name}.{column} once in authentic/tables.rs, as deciding or as open"
                );
            }
            assert_eq!(columns.len(), table.columns.len() + table.open.len() + 1, "{name} has {columns:?}");
        }
        assert_eq!(schema.len(), TABLES.len() + OTHERWISE.len());
    }

    #[test]
    fn numbers_of_tables_are_their_places() {
        for (number, name) in [
            (ACCOUNTS, "accounts"),
            (TOKENS, "account_tokens"),
            (IDENTITY_BUNDLES, "identity_bundles"),
            (IDENTITY_BINDINGS, "identity_bindings"),
            (USER_PROFILES, "user_profiles"),
            (OPERATOR_TOKENS, "operator_tokens"),
            (PENDING_LOGINS, "pending_logins"),
            (AGENT_INSTANCES, "agent_instances"),
            (LOGIN_SESSIONS, "login_sessions"),
            (SERVICE_SETTINGS, "service_settings"),
            (TOMBSTONES, "tombstones"),
            (CLIENT_TOKENS, "client_tokens"),
            (FORGE_WATCHES, "forge_watches"),
        ] {
            assert_eq!(TABLES[number].name, name);
        }
    }
}
