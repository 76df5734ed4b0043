//! The cost of sealing a secret and opening it again.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use identity_store::secret::{Cell, open, seal};
use identity_store::{Key, Keyring};
use secrecy::SecretString;

use crate::daemon::KEY;
use crate::table::Table;

/// Lengths of secrets in bytes: that of an API key, and that of a token that is a JWT.
const LENGTHS: [usize; 2] = [100, 2000];

/// Seals and opens `runs` secrets of each length.
pub(crate) fn sealing(table: &mut Table, runs: usize) -> Result<()> {
    let keyring = Keyring::from_key(Key::parse(KEY.as_bytes())?);
    let row = uuid::Uuid::new_v4().to_string();
    for length in LENGTHS {
        let secret = SecretString::from("x".repeat(length));
        let cell = Cell { table: "account_tokens", column: "sealed_access", row: &row, generation: 1 };
        let mut sealed = seal(&keyring, cell, &secret)?;
        let begun = Instant::now();
        for _ in 0..runs {
            sealed = seal(&keyring, cell, black_box(&secret))?;
        }
        let sealing = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..runs {
            black_box(open(&keyring, cell, black_box(&sealed))?);
        }
        let opening = begun.elapsed();
        let figure = format!("sealed in {}, opened in {}", each(sealing, runs), each(opening, runs));
        table.row(&format!("a secret of {length} bytes"), figure, "");
    }
    Ok(())
}

fn each(all: Duration, runs: usize) -> String {
    format!("{} ns", all.as_nanos() / u128::try_from(runs).unwrap_or(1).max(1))
}
