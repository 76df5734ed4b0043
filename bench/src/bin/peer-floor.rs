//! tokio and sqlx with the daemon's migrations, and nothing else: the floor for a start, for reads and for writes.
//!
//! The first line that it prints is its address. Each line that it is sent is `resolve MS` or `write MS`: that work is
//! done in process, sixteen at a time, for so long, and answered with how often and in how many seconds.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const AT_ONCE: u32 = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let work = std::env::args_os().nth(1).map(PathBuf::from).context("usage: peer-floor DIRECTORY")?;
    let options = SqliteConnectOptions::new()
        .filename(work.join("floor.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10));
    // As many connections as calls: that is what a plain pool is for.
    let pool = SqlitePoolOptions::new().max_connections(AT_ONCE).connect_with(options).await?;
    sqlx::migrate!("../migrations/sqlite").run(&pool).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks ends alone.
        tokio::spawn(serve(stream, pool.clone()));
    }
}

async fn serve(mut stream: TcpStream, pool: SqlitePool) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    write(&pool).await?;
    while let Some(line) = lines.next_line().await? {
        let (work, ms) = line.split_once(' ').context("not a command")?;
        let (until, started) = (Instant::now() + Duration::from_millis(ms.parse()?), Instant::now());
        let counts = try_join_all((0..AT_ONCE).map(|_| async {
            let mut count = 0_u64;
            while Instant::now() < until {
                if work == "write" { write(&pool).await? } else { resolve(&pool).await? }
                count += 1;
            }
            anyhow::Ok(count)
        }))
        .await?;
        let seconds = started.elapsed().as_secs_f64();
        writer.write_all(format!("{} {seconds}\n", counts.iter().sum::<u64>()).as_bytes()).await?;
    }
    Ok(())
}

/// What a launch of a bundle with one key reads.
async fn resolve(pool: &SqlitePool) -> Result<()> {
    let mut transaction = pool.begin().await?;
    let accounts: Vec<(String, String, String, String, Option<String>, String, Option<i64>)> = sqlx::query_as(
        "SELECT accounts.id, accounts.provider, kind, secret_ref, base_url, status, expires_at
         FROM identity_bindings JOIN accounts ON accounts.id = account_id WHERE bundle_id = $1 ORDER BY 1",
    )
    .bind("the-first")
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    for (id, ..) in accounts {
        let _: (Vec<u8>, i64) = sqlx::query_as("SELECT sealed_secret, generation FROM accounts WHERE id = $1")
            .bind(id)
            .fetch_one(pool)
            .await?;
    }
    Ok(())
}

/// A bundle, an account and its binding.
async fn write(pool: &SqlitePool) -> Result<()> {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = if number == 0 { "the-first".to_owned() } else { format!("id-{number}") };
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO identity_bundles (id, name, name_key, description, created_at, updated_at)
         VALUES ($1, $1, $1, '', 0, 0)",
    )
    .bind(&id)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO accounts (id, provider, kind, owner, name, secret_ref, sealed_secret, generation, status,
            evidence, created_at, updated_at)
         VALUES ($1, 'openai', 'api_key', 'bundle', $1, '{\"backend\":\"sealed\"}', $2, 1, 'unknown', 'none', 0, 0)",
    )
    .bind(&id)
    .bind([7_u8; 120].as_slice())
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO identity_bindings (bundle_id, provider, account_id, created_at) VALUES ($1, 'openai', $1, 0)",
    )
    .bind(&id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}
