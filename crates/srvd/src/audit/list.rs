//! Pages of the audit log.

use identity_store::{AuditQuery, Store};

use crate::wire::audit::{AuditRow, AuditRows, List};
use crate::wire::error::ApiError;
use crate::wire::page;

/// The size of a page if the request names none.
const USUAL: u32 = 100;
/// The order of the log, in its cursors.
const NEWEST: &str = "seq";

/// Returns a page of the log, newest rows first.
///
/// # Errors
/// `invalid_input` for the limit or the cursor, and an error of the store.
pub(crate) async fn list(store: &Store, params: List) -> Result<AuditRows, ApiError> {
    let limit = page::size(params.limit.unwrap_or(USUAL))?;
    let before = match &params.cursor {
        Some(cursor) => {
            let [seq] = page::position(cursor, NEWEST)?;
            Some(seq.parse().map_err(|_| ApiError::invalid_input("cursor", "is not a cursor"))?)
        }
        None => None,
    };
    let List { since, actor, action, subject, outcome, .. } = params;
    let query = AuditQuery { since, actor, action, subject, outcome, before, limit: limit + 1 };
    let mut rows = store.audit_page(query).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor =
        rows.last().filter(|_| has_more).map(|last| page::cursor(NEWEST, &[&last.seq.to_string()]));
    let shown = |row: identity_store::AuditRow| AuditRow {
        seq: row.seq,
        at: row.entry.at,
        actor: row.entry.actor,
        action: row.entry.action,
        subject: row.entry.subject,
        outcome: row.entry.outcome,
        detail: row.entry.detail,
    };
    Ok(AuditRows { rows: rows.into_iter().map(shown).collect(), next_cursor })
}
