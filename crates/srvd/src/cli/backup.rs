//! `srvd backup`: a copy of the database in one file. The last line of the file is a manifest.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use blake2::{Blake2b256, Digest as _};
use identity_store::secret::{authenticate, check_code};
use identity_store::{AuditEntry, DatabaseKind, Keyring, Store};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, code};
use super::offline::{DatabaseArgs, announce};
use super::ui::Ui;
use crate::base::clock::now;
use crate::base::environment::Environment;
use crate::base::private;
use crate::config::{Config, key};
use crate::daemon;
use crate::daemon::BootError;
use crate::daemon::record::{hex, unhex};
use crate::hint::Step;

/// The version of the manifest's format. Version 1 has no authentication.
pub(super) const VERSION: u32 = 2;

/// The scope of a manifest's authentication.
const SCOPE: &str = "backup";

/// The longest last line that is read, in bytes.
const LONGEST_LINE: u64 = 16 * 1024;

/// Arguments of `srvd backup`.
#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The file to create; an existing file is never overwritten
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    database: DatabaseArgs,
}

/// The last line of a backup; the bytes before it are a `SQLite` database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Manifest {
    /// The version of the manifest's format.
    pub(super) srvd_backup: u32,
    /// The time at which the backup was made, in unix milliseconds.
    pub(super) created_at: i64,
    /// The schema version of the database.
    pub(super) schema: i64,
    /// The ids of the keys that the secrets of the database may need.
    pub(super) key_ids: Vec<String>,
    /// The length of the database in bytes.
    pub(super) bytes: u64,
    /// The BLAKE2b-256 of the database, in hex digits.
    pub(super) blake2b: String,
    /// The authentication of the other fields with the encryption key, in hex digits; absent in a backup of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
}

impl Manifest {
    /// Returns whether a holder of the encryption key made the backup. The fields authenticate the content by its hash.
    pub(super) fn is_authentic(&self, keyring: &Keyring) -> bool {
        let code = self.code.as_deref().and_then(unhex);
        check_code(keyring, SCOPE, &self.text(), code.as_deref()).is_ok()
    }

    /// Returns the fields that the code is made of.
    fn text(&self) -> Vec<u8> {
        let Self { srvd_backup, created_at, schema, key_ids, bytes, blake2b, code: _ } = self;
        serde_json::to_vec(&(srvd_backup, created_at, schema, key_ids, bytes, blake2b)).unwrap_or_default()
    }
}

/// Makes a backup. A daemon may be running meanwhile.
pub(super) async fn run(
    args: &BackupArgs,
    config: &Config,
    environment: &Environment,
    ui: &Ui,
) -> Result<(), Failure> {
    super::serve::keep_memory_private()?;
    let config = &args.database.settle(config, ui).await?;
    local_only(config, "pg_dump --format=custom --file=FILE DATABASE")?;
    if args.file.symlink_metadata().is_ok() {
        return Err(exists(&args.file));
    }
    announce(config, environment, ui)?;
    let keyring = key::load(environment, &config.key_sources()).map_err(BootError::from)?.keyring();
    let store = daemon::beside(config, environment).await?;
    let part = part_of(&args.file);
    let made = make(&store, &keyring, &part, &args.file).await;
    store.close().await;
    let manifest = made.inspect_err(|_| {
        // Only the first error is reported. An incomplete backup is of no use.
        let _ = std::fs::remove_file(&part);
    })?;
    ui.result(&args.file.display().to_string())?;
    ui.note(&format!(
        "{} bytes. The backup can be used only with the key {}, which it does not contain: keep a copy of the key elsewhere.",
        manifest.bytes,
        manifest.key_ids.join(" and ")
    ));
    Ok(())
}

/// Refuses a server's database, which the server's own tools copy.
pub(super) fn local_only(config: &Config, tool: &str) -> Result<(), Failure> {
    match config.database.kind() {
        DatabaseKind::Sqlite => Ok(()),
        DatabaseKind::Postgres => {
            Err(Failure::new(code::CONFIG, "srvd cannot back up or restore a PostgreSQL database")
                .hint(Step::UseServerTool { command: tool.to_owned() }))
        }
    }
}

async fn make(store: &Store, keyring: &Keyring, part: &Path, file: &Path) -> Result<Manifest, Failure> {
    let cannot = |error: io::Error| {
        Failure::new(code::CANNOT_CREATE, format!("cannot create {}: {error}", file.display()))
    };
    // The file is made here, so that other users can never open it. The database then fills it.
    drop(private::new_file(part, 0o600).map_err(cannot)?);
    store.copy_into(part).await.map_err(BootError::from)?;
    let schema = store.schema_version().await.map_err(BootError::from)?;
    let keys = store.keys().await.map_err(BootError::from)?;
    let mut copy = File::options().read(true).write(true).open(part).map_err(cannot)?;
    let (bytes, blake2b) = digest(&mut copy, &mut io::sink()).map_err(cannot)?;
    let needed = keys.into_iter().filter(|key| key.state != "retired");
    let mut manifest = Manifest {
        srvd_backup: VERSION,
        created_at: now(),
        schema,
        key_ids: needed.map(|key| key.id.to_string()).collect(),
        bytes,
        blake2b,
        code: None,
    };
    manifest.code = Some(hex(&authenticate(keyring, SCOPE, &manifest.text())));
    append(&mut copy, &manifest).map_err(cannot)?;
    let told = AuditEntry {
        at: now(),
        actor: "cli".into(),
        action: "backup".into(),
        subject: String::new(),
        outcome: AuditEntry::OK.into(),
        detail: Some(format!("{bytes} bytes")),
    };
    store.audit(told).await.map_err(BootError::from)?;
    publish(part, file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(file),
        _ => cannot(error),
    })?;
    Ok(manifest)
}

fn exists(file: &Path) -> Failure {
    Failure::new(code::CANNOT_CREATE, format!("{} already exists and is not overwritten", file.display()))
}

fn part_of(file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", uuid::Uuid::new_v4().simple()));
    file.with_file_name(name)
}

/// Copies `from` to `to`, and returns the length and the BLAKE2b-256 of the bytes.
pub(super) fn digest(from: &mut impl io::Read, to: &mut impl io::Write) -> io::Result<(u64, String)> {
    let mut hash = Blake2b256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        length += count as u64;
    }
    let mut digits = String::with_capacity(64);
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Ok((length, digits))
}

fn append(copy: &mut File, manifest: &Manifest) -> io::Result<()> {
    let line = serde_json::to_string(manifest)?;
    copy.seek(SeekFrom::End(0))?;
    write!(copy, "\n{line}\n")?;
    copy.sync_all()
}

/// Gives the finished file its name, unless another file has taken that name meanwhile.
fn publish(part: &Path, file: &Path) -> io::Result<()> {
    match std::fs::hard_link(part, file) {
        Ok(()) => std::fs::remove_file(part)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        // Some file systems have no hard links, such as that of a memory stick.
        Err(_) if file.symlink_metadata().is_ok() => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(part, file)?,
    }
    private::sync_directory(file)
}

/// Reads the last line of a backup. Returns `None` if the file is no backup, or was cut off.
pub(super) fn manifest_of(file: &mut File) -> io::Result<Option<Manifest>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LONGEST_LINE);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.take(LONGEST_LINE).read_to_end(&mut end)?;
    file.rewind()?;
    let line = end.strip_suffix(b"\n").and_then(|rest| rest.rsplit(|byte| *byte == b'\n').next());
    let parsed: Option<Manifest> = line.and_then(|line| serde_json::from_slice(line).ok());
    let whole = |found: &Manifest| {
        line.is_some_and(|line| found.bytes.checked_add(line.len() as u64 + 2) == Some(length))
    };
    Ok(parsed.filter(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_manifest_is_read_only_from_a_complete_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let manifest = Manifest {
            srvd_backup: 1,
            created_at: 5,
            schema: 4,
            key_ids: vec!["05d0dd0ac3a1fddf".into()],
            bytes: 7,
            blake2b: "ab".into(),
            code: None,
        };
        let check = |content: &[u8], expect: Option<&Manifest>| {
            std::fs::write(&path, content).unwrap();
            let mut file = File::open(&path).unwrap();
            assert_eq!(manifest_of(&mut file).unwrap().as_ref(), expect);
            assert_eq!(file.stream_position().unwrap(), 0);
        };
        let line = serde_json::to_string(&manifest).unwrap();
        let whole = format!("da\nta\n!\n{line}\n");
        check(whole.as_bytes(), Some(&manifest));
        check(&whole.as_bytes()[..whole.len() - 1], None);
        check(format!("data!\n{line}\n").as_bytes(), None);
        check(format!("{whole}\n").as_bytes(), None);
        check(b"", None);
        check(b"\n", None);
        check(&vec![b'x'; 40_000], None);
    }

    #[test]
    fn backup_manifest_is_authentic_only_as_it_was_made_and_with_its_key() {
        let ring = |name: &str| {
            Keyring::from_key(identity_store::Key::parse(format!("{name:-<40}").as_bytes()).unwrap())
        };
        let mut made = Manifest {
            srvd_backup: VERSION,
            created_at: 5,
            schema: 6,
            key_ids: vec!["05d0dd0ac3a1fddf".into()],
            bytes: 7,
            blake2b: "ab".into(),
            code: None,
        };
        assert!(!made.is_authentic(&ring("one")));
        made.code = Some(hex(&authenticate(&ring("one"), SCOPE, &made.text())));
        assert!(made.is_authentic(&ring("one")) && !made.is_authentic(&ring("two")));
        for changed in [
            Manifest { created_at: 6, ..made.clone() },
            Manifest { schema: 5, ..made.clone() },
            Manifest { key_ids: vec![], ..made.clone() },
            Manifest { bytes: 8, ..made.clone() },
            Manifest { blake2b: "ac".into(), ..made.clone() },
            Manifest { srvd_backup: 1, ..made.clone() },
            Manifest { code: Some("zz".into()), ..made.clone() },
        ] {
            assert!(!changed.is_authentic(&ring("one")), "{changed:?}");
        }
    }

    #[test]
    fn publish_refuses_to_overwrite_an_existing_file() {
        let dir = tempfile::tempdir().unwrap();
        let (part, file) = (dir.path().join("p"), dir.path().join("f"));
        std::fs::write(&part, "new").unwrap();
        publish(&part, &file).unwrap();
        assert!(!part.exists());
        std::fs::write(&part, "newer").unwrap();
        assert_eq!(publish(&part, &file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
    }
}
