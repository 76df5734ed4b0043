//! The census of the authenticated rows: how many rows each table has, and a sum over their keys.
//!
//! A code proves that a row is genuine, but not that every genuine row is still there. The census does: it is a setting,
//! authenticated like every row, and each transaction that adds or removes rows brings it up to date before its commit
//! ([`keep`]). The sum is an exclusive or, so that one row costs the same however many there are. It contains the key of
//! each row in plain bytes, too: if one row is missing, the difference is its key, and it can be named.
//!
//! A use case registers the rows that it adds and removes, on the transaction: [`added`] for a new row, [`put`] before a row
//! is written that may exist, and [`removed`] or [`gone`] before a deletion, which includes the rows that the database
//! deletes with it.

use std::mem;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::fields::{Fields, known, setting};
use super::scan::{Page, page};
use super::tables::{SERVICE_SETTINGS, TABLES, Table};
use crate::db::{Before, RowChange, Tx, sql};
use crate::error::StoreError;

/// The setting that contains the census.
const CENSUS: &str = "row_census";

/// The length of a hash in bytes.
const HASH: usize = 32;

/// The room for a key in bytes, with two for the lengths of its columns. A longer key is only counted and hashed.
const ROOM: usize = 64;

/// The number of rows of a table, and the sum over their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    rows: i64,
    sum: [u8; HASH + ROOM],
}

/// A table whose rows are not those that srvd wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSetFault {
    /// The name of the table.
    pub table: &'static str,
    /// The fault.
    pub fault: SetFault,
}

/// The difference between the rows of a table and those that srvd wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetFault {
    /// One row is missing: its id.
    Deleted(String),
    /// One row was added, such as a copy of a row that srvd had deleted: its id.
    Added(String),
    /// Several rows are missing or were added.
    Count {
        /// The number of rows that srvd wrote.
        written: i64,
        /// The number of rows that were found.
        found: i64,
    },
    /// The census itself is missing or was changed.
    NoCensus,
}

impl std::fmt::Display for RowSetFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let table = self.table;
        match &self.fault {
            SetFault::Deleted(row) => {
                write!(f, "{table} {row}: it was deleted by a program without the encryption key")
            }
            SetFault::Added(row) => {
                write!(f, "{table} {row}: it was added by a program without the encryption key")
            }
            SetFault::Count { written, found } => write!(
                f,
                "{table}: srvd wrote {written} rows, but {found} were found: rows were deleted or added by a program \
                 without the encryption key"
            ),
            SetFault::NoCensus => write!(
                f,
                "{table} {CENSUS}: the census of the rows was deleted or changed by a program without the encryption key"
            ),
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { rows: 0, sum: [0; HASH + ROOM] }
    }
}

impl Tally {
    /// Adds a row of the table.
    pub(crate) fn add(&mut self, table: &Table, key: [&str; 2]) {
        self.rows += 1;
        self.toggle(&cell(table, key));
    }

    fn remove(&mut self, table: &Table, key: [&str; 2]) {
        self.rows -= 1;
        self.toggle(&cell(table, key));
    }

    fn toggle(&mut self, cell: &[u8]) {
        for (byte, other) in self.sum.iter_mut().zip(cell) {
            *byte ^= other;
        }
    }

    fn without(&self, other: &Self) -> Self {
        let mut difference = Self { rows: self.rows - other.rows, ..self.clone() };
        difference.toggle(&other.sum);
        difference
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the only row of a difference, if it is one row.
    fn only(&self, table: &Table) -> Option<String> {
        if self.rows.abs() != 1 {
            return None;
        }
        let [first, second, texts @ ..] = &self.sum[HASH..] else { return None };
        let (key, rest) = texts.split_at_checked(usize::from(*first))?;
        let second = rest.get(..usize::from(*second))?;
        let key = [std::str::from_utf8(key).ok()?, std::str::from_utf8(second).ok()?];
        // The hash proves that the bytes are one key, and not the sum of several.
        (cell(table, key) == self.sum).then(|| id(key))
    }

    /// Returns the difference between the rows that were written and those that were found, some of which do not fit their
    /// code. Such rows are reported on their own; they may have been in the table before, or not.
    fn compare(&self, table: &Table, found: &Self, unfit: &Self) -> Option<SetFault> {
        let differences = [self.without(found), self.without(&found.without(unfit))];
        if differences.iter().any(Self::is_empty) {
            return None;
        }
        let one = differences.iter().find_map(|difference| Some((difference.rows, difference.only(table)?)));
        Some(match one {
            Some((1, row)) => SetFault::Deleted(row),
            Some((_, row)) => SetFault::Added(row),
            None => SetFault::Count { written: self.rows, found: found.rows },
        })
    }
}

fn id(key: [&str; 2]) -> String {
    if key[1].is_empty() { key[0].to_owned() } else { key.join(" ") }
}

/// Returns the part of a row in the sum: a hash of table and key, and the key.
fn cell(table: &Table, key: [&str; 2]) -> [u8; HASH + ROOM] {
    let mut cell = [0; HASH + ROOM];
    let mut hash = Sha256::new();
    for text in [table.name, key[0], key[1]] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    cell[..HASH].copy_from_slice(&hash.finalize());
    let texts = key.concat();
    if let (Ok(first), Ok(second)) = (u8::try_from(key[0].len()), u8::try_from(key[1].len()))
        && texts.len() + 2 <= ROOM
    {
        cell[HASH] = first;
        cell[HASH + 1] = second;
        cell[HASH + 2..][..texts.len()].copy_from_slice(texts.as_bytes());
    }
    cell
}

/// The tallies of all tables, in the order of [`TABLES`].
type Tallies = Vec<Tally>;

/// Registers a new row, whose key was made for it.
pub(crate) fn added(tx: &mut Tx, table: usize, key: [&str; 2]) {
    written(tx, table, key, Before::Plain);
}

fn written(tx: &mut Tx, table: usize, key: [&str; 2], before: Before) {
    tx.changes.push(RowChange { table, key: key.map(str::to_owned), exists: true, before });
}

/// Registers a row that is about to be written and may exist already.
pub(crate) async fn put(tx: &mut Tx, table: usize, key: [&str; 2]) -> Result<(), StoreError> {
    match row(tx, table, key).await? {
        None => written(tx, table, key, Before::Absent),
        Some(found) if found.check(tx, &TABLES[table]).is_ok() => {}
        Some(_) => written(tx, table, key, Before::Unfit),
    }
    Ok(())
}

/// Registers a row that is about to be deleted, if it exists.
pub(crate) async fn removed(tx: &mut Tx, table: usize, key: [&str; 2]) -> Result<(), StoreError> {
    let found = row(tx, table, key).await?;
    gone(tx, table, found);
    Ok(())
}

/// Registers rows that are about to be deleted, as `listed!` selects them.
pub(crate) fn gone(tx: &mut Tx, table: usize, rows: impl IntoIterator<Item = Page>) {
    for row in rows {
        let before = if row.check(tx, &TABLES[table]).is_ok() { Before::Plain } else { Before::Unfit };
        tx.changes.push(RowChange { table, key: [row.key, row.second], exists: false, before });
    }
}

async fn row(tx: &mut Tx, table: usize, key: [&str; 2]) -> Result<Option<Page>, StoreError> {
    sql!(optional, Page, tx, TABLES[table].row, key[0], key[1])
}

/// Brings the census up to date with the changes of the transaction. It belongs before every commit.
pub(crate) async fn keep(tx: &mut Tx) -> Result<(), StoreError> {
    let changes = mem::take(&mut tx.changes);
    if changes.is_empty() {
        return Ok(());
    }
    let Some(mut census) = read(tx).await? else {
        // It is reported by each check until the rows are accepted. Writes go on.
        tracing::error!(
            "the census of the rows is missing or was changed by a program without the encryption key"
        );
        return Ok(());
    };
    for change in &changes {
        if change.before == Before::Plain {
            apply(&mut census[change.table], change);
        }
    }
    for change in &changes {
        if change.before == Before::Unfit {
            settle(tx, &mut census[change.table], change).await?;
        }
    }
    for (number, table) in TABLES.iter().enumerate() {
        let of_table = |change: &&RowChange| change.table == number && change.before == Before::Absent;
        let absent: Vec<&RowChange> = changes.iter().filter(of_table).collect();
        for change in &absent {
            apply(&mut census[number], change);
        }
        // If no row is missing, the number of rows is right, and the rows need not be read.
        if absent.is_empty() || sql!(one, (i64,), tx, table.rows)?.0 == census[number].rows {
            continue;
        }
        for change in absent {
            census[number].remove(table, change.key());
            settle(tx, &mut census[number], change).await?;
        }
    }
    write(tx, &census).await
}

fn apply(tally: &mut Tally, change: &RowChange) {
    if change.exists {
        tally.add(&TABLES[change.table], change.key());
    } else {
        tally.remove(&TABLES[change.table], change.key());
    }
}

/// Decides whether the census contained a row that another program changed or deleted, by the rows that are there now.
async fn settle(tx: &mut Tx, tally: &mut Tally, change: &RowChange) -> Result<(), StoreError> {
    let table = &TABLES[change.table];
    let (found, unfit) = count(tx, table, |_, _| {}).await?;
    let mut other = tally.clone();
    apply(&mut other, change);
    // A row that exists now and was counted before changes nothing, and so does the removal of one that was not.
    let (counted, uncounted) = if change.exists { (tally.clone(), other) } else { (other, tally.clone()) };
    let faults = |tally: &Tally| match tally.compare(table, &found, &unfit) {
        None => 0,
        Some(SetFault::Deleted(_) | SetFault::Added(_)) => 1,
        Some(_) => 2,
    };
    // If both leave the same fault, a changed row was counted, and a row that was not there was not.
    let (likely, unlikely) =
        if change.before == Before::Unfit { (counted, uncounted) } else { (uncounted, counted) };
    *tally = if faults(&unlikely) < faults(&likely) { unlikely } else { likely };
    Ok(())
}

/// Counts the rows of a table, and those of them that do not fit their code, which `report` receives with the reason.
pub(crate) async fn count(
    tx: &mut Tx,
    table: &'static Table,
    mut report: impl FnMut(&Page, crate::secret::SecretError),
) -> Result<(Tally, Tally), StoreError> {
    let (mut found, mut unfit) = (Tally::default(), Tally::default());
    let mut after = (String::new(), String::new());
    loop {
        let rows = page(tx, table, (&after.0, &after.1)).await?;
        let Some(last) = rows.last() else { return Ok((found, unfit)) };
        after = (last.key.clone(), last.second.clone());
        for row in &rows {
            let key = [row.key.as_str(), row.second.as_str()];
            found.add(table, key);
            if let Err(reason) = row.check(tx, table) {
                unfit.add(table, key);
                report(row, reason);
            }
        }
    }
}

/// Compares the rows that were counted, in the order of [`TABLES`], with the census.
pub(crate) async fn faults(tx: &mut Tx, counted: &[(Tally, Tally)]) -> Result<Vec<RowSetFault>, StoreError> {
    let Some(census) = read(tx).await? else {
        return Ok(vec![RowSetFault { table: TABLES[SERVICE_SETTINGS].name, fault: SetFault::NoCensus }]);
    };
    let tables = TABLES.iter().zip(&census).zip(counted);
    let faults = tables.filter_map(|((table, written), (found, unfit))| {
        let fault = written.compare(table, found, unfit)?;
        Some(RowSetFault { table: table.name, fault })
    });
    Ok(faults.collect())
}

/// Returns whether this row is the only one of its table that another program deleted.
pub(crate) async fn is_deleted(tx: &mut Tx, table: usize, key: [&str; 2]) -> Result<bool, StoreError> {
    let (rows,) = sql!(one, (i64,), tx, TABLES[table].rows)?;
    let written = read(tx).await?.map(|census| census[table].clone()).unwrap_or_default();
    // Usually nothing is missing, and the rows need not be read.
    if written.rows <= rows {
        return Ok(false);
    }
    let (found, unfit) = count(tx, &TABLES[table], |_, _| {}).await?;
    Ok(written.compare(&TABLES[table], &found, &unfit) == Some(SetFault::Deleted(id(key))))
}

/// Takes the census of all rows as they are.
pub(crate) async fn begin(tx: &mut Tx, now: i64) -> Result<(), StoreError> {
    // The census is a row itself.
    sql!(
        run,
        tx,
        "INSERT INTO service_settings (key, value, updated_at) VALUES ($1, '', $2) ON CONFLICT (key) DO NOTHING",
        CENSUS,
        now,
    )?;
    tx.changes.clear();
    let mut census = Tallies::new();
    for table in TABLES {
        census.push(count(tx, table, |_, _| {}).await?.0);
    }
    write(tx, &census).await
}

/// Reads the census; `None` if no holder of the key wrote it.
async fn read(tx: &mut Tx) -> Result<Option<Tallies>, StoreError> {
    match known(tx, SERVICE_SETTINGS, [CENSUS, ""]).await {
        Ok(row) => Ok(row.as_ref().and_then(parse)),
        Err(StoreError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn write(tx: &mut Tx, census: &[Tally]) -> Result<(), StoreError> {
    let value = text(census);
    let code = setting(CENSUS, &value).code(tx);
    sql!(run, tx, "UPDATE service_settings SET value = $2, mac = $3 WHERE key = $1", CENSUS, value, code)?;
    Ok(())
}

/// Returns the census as text: `table rows sum;` for each table that ever had a row.
fn text(census: &[Tally]) -> String {
    let mut text = String::with_capacity(2048);
    for (table, tally) in TABLES.iter().zip(census).filter(|(_, tally)| !tally.is_empty()) {
        text.push_str(table.name);
        text.push(' ');
        text.push_str(&tally.rows.to_string());
        text.push(' ');
        STANDARD_NO_PAD.encode_string(tally.sum, &mut text);
        text.push(';');
    }
    text
}

fn parse(row: &Fields) -> Option<Tallies> {
    let mut census = vec![Tally::default(); TABLES.len()];
    for part in row.get("value")?.split_terminator(';') {
        let mut words = part.split(' ');
        let (name, rows, sum) = (words.next()?, words.next()?, words.next()?);
        let place = TABLES.iter().position(|table| table.name == name)?;
        let sum = STANDARD_NO_PAD.decode(sum).ok()?.try_into().ok()?;
        census[place] = Tally { rows: rows.parse().ok()?, sum };
    }
    Some(census)
}

#[cfg(test)]
mod tests {
    use super::super::tables::{ACCOUNTS, IDENTITY_BINDINGS, TOMBSTONES};
    use super::*;

    fn tally(table: usize, keys: &[[&str; 2]]) -> Tally {
        let mut tally = Tally::default();
        for key in keys {
            tally.add(&TABLES[table], *key);
        }
        tally
    }

    #[test]
    fn census_is_read_back_from_its_text() {
        let mut census = vec![Tally::default(); TABLES.len()];
        census[ACCOUNTS] = tally(ACCOUNTS, &[["a", ""], ["b", ""]]);
        census[TOMBSTONES] = tally(TOMBSTONES, &[["directory", "codex /x"]]);
        let row = setting(CENSUS, &text(&census));
        assert_eq!(parse(&row).unwrap(), census);
        assert!(parse(&setting(CENSUS, "accounts 1 x;")).is_none());
        assert!(parse(&setting(CENSUS, "other 1 AAAA;")).is_none());
    }

    #[test]
    fn difference_of_one_row_is_named_and_of_several_is_counted() {
        let table = &TABLES[IDENTITY_BINDINGS];
        let all = [["one", "codex"], ["one", "claude"], ["two", "codex"]];
        let written = tally(IDENTITY_BINDINGS, &all);
        let none = Tally::default();
        let compare = |found: &[[&str; 2]], unfit: &[[&str; 2]]| {
            written.compare(table, &tally(IDENTITY_BINDINGS, found), &tally(IDENTITY_BINDINGS, unfit))
        };
        assert_eq!(compare(&all, &[]), None);
        assert_eq!(compare(&all[1..], &[]), Some(SetFault::Deleted("one codex".into())));
        assert_eq!(compare(&all[2..], &[]), Some(SetFault::Count { written: 3, found: 1 }));
        let more = [all[0], all[1], all[2], ["x", "y"]];
        assert_eq!(compare(&more, &[]), Some(SetFault::Added("x y".into())));
        // One row for another: the number is the same.
        assert_eq!(compare(&more[1..], &[]), Some(SetFault::Count { written: 3, found: 3 }));
        // A row that does not fit is reported by itself, whether it was planted or changed.
        assert_eq!(compare(&more, &[["x", "y"]]), None);
        assert_eq!(compare(&all, &[all[0]]), None);
        assert_eq!(compare(&more[1..], &[["x", "y"]]), Some(SetFault::Deleted("one codex".into())));
        assert_eq!(written.without(&written), none);
    }

    #[test]
    fn key_that_is_too_long_is_counted_and_not_named() {
        let long = "x".repeat(ROOM);
        let table = &TABLES[ACCOUNTS];
        let written = tally(ACCOUNTS, &[[&long, ""], ["b", ""]]);
        let found = tally(ACCOUNTS, &[["b", ""]]);
        assert_eq!(
            written.compare(table, &found, &Tally::default()),
            Some(SetFault::Count { written: 2, found: 1 })
        );
        let fits = "y".repeat(ROOM - 2);
        let written = tally(ACCOUNTS, &[[&fits, ""]]);
        assert_eq!(
            written.compare(table, &Tally::default(), &Tally::default()),
            Some(SetFault::Deleted(fits))
        );
    }
}
