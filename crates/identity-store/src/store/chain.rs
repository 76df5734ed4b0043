//! The hash chain over the rows of the audit log.
//!
//! A row's hash is BLAKE2b-512, cut to 32 bytes and keyed with the chain's own random key, of the previous hash and the
//! row's fields. The key is sealed in the database: an attacker who can write the file but does not have the encryption
//! key cannot create a matching row. The beginning and the end of the kept rows are signed in the same way, so that
//! rows cannot be cut off at either end. An older copy of the whole database still matches, because nothing inside the
//! database can reveal it.

use blake2::Blake2bMac512;
use blake2::digest::{FixedOutput as _, KeyInit, Update as _};
use secrecy::ExposeSecret as _;
use subtle::ConstantTimeEq as _;

use crate::db::{Tx, sql};
use crate::error::StoreError;
use crate::model::audit::AuditEntry;
use crate::secret;
use crate::secret::{Cell, Key, Keyring, SecretError};

const TABLE: &str = "audit_chain";

/// The actor of the rows that the store itself writes.
pub(crate) const STORE: &str = "srvd";

/// The action of the first row of a chain.
pub(crate) const BEGIN: &str = "audit.begin";

/// The action of a row that records that the state before it was not signed.
pub(crate) const BROKEN: &str = "audit.broken";

/// The number of rows that one statement reads.
const PAGE: i64 = 1000;

/// The key of a chain, which signs its rows and its ends.
#[derive(Clone, Debug)]
pub(crate) struct ChainKey(Key);

/// A place in the chain: the number of rows before it, and the hash of the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) count: i64,
    pub(crate) hash: Vec<u8>,
}

/// The end of the kept rows that a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Start,
    Head,
}

/// The columns of a row of the log, in the order in which the database returns them.
pub(crate) type LogRow = (i64, i64, String, String, String, String, Option<String>, Option<Vec<u8>>);

impl Link {
    /// Returns the place where a chain begins.
    pub(crate) fn origin() -> Self {
        Self { count: 0, hash: vec![0; 32] }
    }
}

impl ChainKey {
    /// Returns the place after one more row.
    pub(crate) fn after(&self, link: &Link, entry: &AuditEntry) -> Link {
        let mut mac = self.mac(1);
        mac.update(&link.hash);
        mac.update(&entry.at.to_be_bytes());
        for text in [&entry.actor, &entry.action, &entry.subject, &entry.outcome] {
            update_text(&mut mac, text);
        }
        match &entry.detail {
            Some(detail) => {
                mac.update(&[1]);
                update_text(&mut mac, detail);
            }
            None => mac.update(&[0]),
        }
        Link { count: link.count + 1, hash: cut(mac) }
    }

    /// Returns the signature of a place as an end of the kept rows.
    pub(crate) fn proof(&self, end: End, link: &Link) -> Vec<u8> {
        let mut mac = self.mac(match end {
            End::Start => 2,
            End::Head => 3,
        });
        mac.update(&link.count.to_be_bytes());
        mac.update(&link.hash);
        cut(mac)
    }

    /// Returns whether the signature was made with this key, in constant time.
    pub(crate) fn proves(&self, end: End, link: &Link, proof: &[u8]) -> bool {
        self.proof(end, link).as_slice().ct_eq(proof).into()
    }

    fn mac(&self, purpose: u8) -> Blake2bMac512 {
        let mut mac = <Blake2bMac512 as KeyInit>::new_from_slice(self.0.bytes())
            .unwrap_or_else(|_| unreachable!("BLAKE2b takes keys of up to 64 bytes"));
        mac.update(&[purpose]);
        mac
    }
}

fn update_text(mac: &mut Blake2bMac512, text: &str) {
    mac.update(&(text.len() as u64).to_be_bytes());
    mac.update(text.as_bytes());
}

fn cut(mac: Blake2bMac512) -> Vec<u8> {
    mac.finalize_fixed()[..32].to_vec()
}

/// Reads the key of the database's chain; `None` if there is no chain or its key cannot be opened.
pub(crate) async fn load(tx: &mut Tx, keyring: &Keyring) -> Result<Option<ChainKey>, StoreError> {
    let row = sql!(optional, (Vec<u8>, i64), tx, "SELECT sealed_key, generation FROM audit_chain")?;
    let Some((sealed, generation)) = row else { return Ok(None) };
    let opened = cell(generation).and_then(|cell| Ok(secret::open(keyring, cell, &sealed)?));
    match opened {
        Ok(text) => Ok(Key::parse(text.expose_secret().as_bytes()).ok().map(ChainKey)),
        Err(error) => {
            tracing::error!(%error, "the key of the audit log's chain cannot be opened; a new chain is started");
            Ok(None)
        }
    }
}

/// Begins a chain over the existing rows, which it cannot vouch for. Its first row records how many they are.
pub(crate) async fn begin(tx: &mut Tx, keyring: &Keyring, now: i64) -> Result<ChainKey, StoreError> {
    let (key, text) = Key::generate().map_err(|_| SecretError::Random)?;
    let key = ChainKey(key);
    let mut head = Link::origin();
    let mut after = i64::MIN;
    loop {
        let rows = page(tx, after).await?;
        let Some((last, ..)) = rows.last() else { break };
        after = *last;
        for row in rows {
            let seq = row.0;
            head = key.after(&head, &entry(row).0);
            sql!(run, tx, "UPDATE audit_log SET hash = $2 WHERE seq = $1", seq, head.hash.as_slice())?;
        }
    }
    let detail = format!("{} earlier rows", head.count);
    let first = AuditEntry {
        at: now,
        actor: STORE.into(),
        action: BEGIN.into(),
        subject: String::new(),
        outcome: AuditEntry::OK.into(),
        detail: Some(detail),
    };
    head = append(tx, &key, head, &first).await?;
    let former = sql!(optional, (i64,), tx, "SELECT generation FROM audit_chain")?;
    let generation = former.map_or(0, |(generation,)| generation).saturating_add(1);
    let sealed = secret::seal(keyring, cell(generation)?, &text)?;
    let start = Link::origin();
    sql!(
        run,
        tx,
        "INSERT INTO audit_chain (id, sealed_key, generation, start_count, start_hash, start_proof, head_count,
             head_hash, head_proof)
         VALUES ('chain', $1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE SET sealed_key = excluded.sealed_key, generation = excluded.generation,
             start_count = excluded.start_count, start_hash = excluded.start_hash,
             start_proof = excluded.start_proof, head_count = excluded.head_count,
             head_hash = excluded.head_hash, head_proof = excluded.head_proof",
        sealed,
        generation,
        start.count,
        start.hash.as_slice(),
        key.proof(End::Start, &start),
        head.count,
        head.hash.as_slice(),
        key.proof(End::Head, &head),
    )?;
    Ok(key)
}

/// Reads one end of the kept rows, and whether it is signed.
pub(crate) async fn end(tx: &mut Tx, key: &ChainKey, end: End) -> Result<(Link, bool), StoreError> {
    let text = match end {
        End::Start => "SELECT start_count, start_hash, start_proof FROM audit_chain",
        End::Head => "SELECT head_count, head_hash, head_proof FROM audit_chain",
    };
    let row = sql!(optional, (i64, Vec<u8>, Vec<u8>), tx, text)?;
    let (count, hash, proof) =
        row.ok_or_else(|| StoreError::corrupt("audit chain", "chain", "it is missing"))?;
    let link = Link { count, hash };
    let signed = key.proves(end, &link, &proof);
    Ok((link, signed))
}

/// Signs a place as one end of the kept rows.
pub(crate) async fn sign(tx: &mut Tx, key: &ChainKey, end: End, link: &Link) -> Result<(), StoreError> {
    let text = match end {
        End::Start => "UPDATE audit_chain SET start_count = $1, start_hash = $2, start_proof = $3",
        End::Head => "UPDATE audit_chain SET head_count = $1, head_hash = $2, head_proof = $3",
    };
    sql!(run, tx, text, link.count, link.hash.as_slice(), key.proof(end, link))?;
    Ok(())
}

/// Writes a row after the given place. Returns the place after it, which is not signed yet.
pub(crate) async fn append(
    tx: &mut Tx,
    key: &ChainKey,
    place: Link,
    entry: &AuditEntry,
) -> Result<Link, StoreError> {
    let place = key.after(&place, entry);
    sql!(
        run,
        tx,
        "INSERT INTO audit_log (at, actor, action, subject, outcome, detail, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        entry.at,
        entry.actor.as_str(),
        entry.action.as_str(),
        entry.subject.as_str(),
        entry.outcome.as_str(),
        entry.detail.as_deref(),
        place.hash.as_slice(),
    )?;
    Ok(place)
}

/// Returns the rows after a number, in order.
pub(crate) async fn page(tx: &mut Tx, after: i64) -> Result<Vec<LogRow>, StoreError> {
    sql!(
        all,
        LogRow,
        tx,
        "SELECT seq, at, actor, action, subject, outcome, detail, hash FROM audit_log WHERE seq > $1
         ORDER BY seq LIMIT $2",
        after,
        PAGE,
    )
}

/// Splits a row into its entry and its hash.
pub(crate) fn entry(row: LogRow) -> (AuditEntry, Option<Vec<u8>>) {
    let (_, at, actor, action, subject, outcome, detail, hash) = row;
    (AuditEntry { at, actor, action, subject, outcome, detail }, hash)
}

fn cell(generation: i64) -> Result<Cell<'static>, StoreError> {
    let generation = u64::try_from(generation)
        .map_err(|_| StoreError::corrupt("audit chain", "chain", "its generation is negative"))?;
    Ok(Cell { table: TABLE, column: "sealed_key", row: "chain", generation })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry_of(texts: [&str; 4], detail: Option<&str>) -> AuditEntry {
        let [actor, action, subject, outcome] = texts.map(str::to_owned);
        AuditEntry { at: 1, actor, action, subject, outcome, detail: detail.map(Into::into) }
    }

    /// The hash depends on each field, and on the boundary between one field and the next.
    #[test]
    fn row_hash_depends_on_each_field_and_on_the_previous_row() {
        let key = ChainKey(Key::parse(b"a-key-of-the-chain-with-enough-bytes-").unwrap());
        let other = ChainKey(Key::parse(b"another-key-of-the-chain-with-enough-").unwrap());
        let origin = Link::origin();
        let first = key.after(&origin, &entry_of(["a", "b", "c", "d"], None));
        let mut seen = vec![other.after(&origin, &entry_of(["a", "b", "c", "d"], None)).hash];
        for (texts, detail) in [
            (["a", "b", "c", "d"], None),
            (["a", "b", "c", "d"], Some("")),
            (["ab", "", "c", "d"], None),
            (["", "ab", "c", "d"], None),
            (["a", "b", "", "cd"], None),
            (["a", "b", "c", "d\u{0}"], None),
        ] {
            seen.push(key.after(&origin, &entry_of(texts, detail)).hash);
        }
        seen.push(key.after(&first, &entry_of(["a", "b", "c", "d"], None)).hash);
        let later = AuditEntry { at: 2, ..entry_of(["a", "b", "c", "d"], None) };
        seen.push(key.after(&origin, &later).hash);
        seen.extend([End::Start, End::Head].map(|end| key.proof(end, &first)));
        seen.push(first.hash.clone());
        let all = seen.len();
        seen.sort();
        seen.dedup();
        // Only the row that is in the list twice produces a duplicate.
        assert_eq!(seen.len(), all - 1);
        assert!(key.proves(End::Head, &first, &key.proof(End::Head, &first)));
        assert!(!key.proves(End::Head, &first, &key.proof(End::Start, &first)));
        assert!(!key.proves(End::Head, &first, b""));
    }
}
