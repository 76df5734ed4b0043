//! A peer with only tokio, sqlx and the daemon's migrations: the lower bound for starting, reading and writing.
//!
//! The first line of output is the peer's address. Each line of input is `resolve MS` or `write MS`. The peer does that
//! work in process, sixteen operations at a time, for that many milliseconds. It answers with the number of operations
//! and the seconds they took.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row as _, SqliteConnection, SqlitePool};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const AT_ONCE: usize = 16;
/// The number of readers, which is the same as the daemon's.
const READERS: u32 = 4;
/// The number of writers. More of them would only wait longer for each other.
const WRITERS: u32 = 4;

#[derive(Clone)]
struct Pools {
    readers: SqlitePool,
    writers: SqlitePool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let work = std::env::args_os().nth(1).map(PathBuf::from).context("usage: peer-floor DIRECTORY")?;
    let options = SqliteConnectOptions::new()
        .filename(work.join("floor.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(10));
    let pool = |connections| SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
    let pools = Pools {
        writers: pool(WRITERS).connect_with(options.clone()).await?,
        readers: pool(READERS).connect_lazy_with(options),
    };
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite"));
    Migrator::new(migrations).await?.run(&pools.writers).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection error ends only its own task.
        tokio::spawn(serve(stream, pools.clone()));
    }
}

async fn serve(mut stream: TcpStream, pools: Pools) -> Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    for one in 0..AT_ONCE {
        fill(&pools.writers, &bundle(one)).await?;
    }
    while let Some(line) = lines.next_line().await? {
        let (work, ms) = line.split_once(' ').context("not a command")?;
        let (until, started) = (Instant::now() + Duration::from_millis(ms.parse()?), Instant::now());
        let pools = &pools;
        let counts = try_join_all((0..AT_ONCE).map(|one| async move {
            let (mut count, user, bundle) = (0_u64, format!("user-{one}"), bundle(one));
            while Instant::now() < until {
                match work {
                    "write" => write(&pools.writers, &user).await?,
                    _ => resolve(&pools.readers, &bundle).await?,
                }
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

fn bundle(number: usize) -> String {
    format!("bundle-{number}")
}

/// Runs the daemon's own launch statement, for a bundle with one key.
async fn resolve(pool: &SqlitePool, bundle: &str) -> Result<()> {
    let accounts = sqlx::query(
        "SELECT accounts.id, accounts.provider, kind, owner, name, display_name, email, subject, base_url, client_id,
             scopes, secret_ref, masked_tail, status, status_reason, evidence, checked_at, expires_at,
             login_deadline_at, accounts.created_at, accounts.updated_at,
             sealed_secret, generation, others.bundle_id AS bound
         FROM identity_bindings
         JOIN accounts ON accounts.id = identity_bindings.account_id
         JOIN identity_bindings AS others ON others.account_id = accounts.id
         WHERE identity_bindings.bundle_id = $1 AND ($2 IS NULL OR identity_bindings.provider = $2)
         ORDER BY accounts.created_at, accounts.id, others.bundle_id",
    )
    .bind(bundle)
    .bind(None::<&str>)
    .fetch_all(pool)
    .await?;
    for row in accounts {
        let (_, _): (String, String) = (row.try_get("id")?, row.try_get("provider")?);
        let (_, _): (Vec<u8>, i64) = (row.try_get("sealed_secret")?, row.try_get("generation")?);
    }
    Ok(())
}

/// Creates a bundle that binds one key.
async fn fill(pool: &SqlitePool, bundle: &str) -> Result<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(
        "INSERT INTO identity_bundles (id, name, name_key, description, created_at, updated_at)
         VALUES ($1, $1, $1, '', 0, 0)",
    )
    .bind(bundle)
    .execute(&mut *transaction)
    .await?;
    account(&mut transaction, bundle).await?;
    sqlx::query(
        "INSERT INTO identity_bindings (bundle_id, provider, account_id, created_at) VALUES ($1, 'openai', $1, 0)",
    )
    .bind(bundle)
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

/// Writes a user's credential for an agent: creates or overwrites the account and the profile that refers to it.
async fn write(pool: &SqlitePool, user: &str) -> Result<()> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    account(&mut transaction, user).await?;
    sqlx::query(
        "INSERT INTO user_profiles (id, user_id, agent_id, provider, model, base_url, identity, account_id, position,
             created_at, updated_at)
         VALUES ($1, $1, 'agent', 'openai', '*', '', '', $1, 0, 0, 0)
         ON CONFLICT (user_id, agent_id, provider, model, base_url, identity)
         DO UPDATE SET account_id = excluded.account_id, updated_at = user_profiles.updated_at + 1",
    )
    .bind(user)
    .execute(&mut *transaction)
    .await?;
    Ok(transaction.commit().await?)
}

async fn account(connection: &mut SqliteConnection, id: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO accounts (id, provider, kind, owner, name, secret_ref, sealed_secret, generation, status,
            evidence, created_at, updated_at)
         VALUES ($1, 'openai', 'api_key', 'bundle', $1, '{\"backend\":\"sealed\"}', $2, 1, 'unknown', 'none', 0, 0)
         ON CONFLICT (id) DO UPDATE SET sealed_secret = excluded.sealed_secret,
             generation = accounts.generation + 1, updated_at = accounts.updated_at + 1",
    )
    .bind(id)
    .bind([7_u8; 120].as_slice())
    .execute(connection)
    .await?;
    Ok(())
}
