//! What was seen, before anybody says what it means. No value of a variable and no byte of a secret is among it.

use std::path::PathBuf;

use auth_spawner::{HeldPort, Version};
use identity_store::Inspection;

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) system: System,
    /// Whose checkup this is.
    pub(super) uid: u32,
    /// Why the operator's provider entries cannot be used, if so.
    pub(super) registry: Option<String>,
    /// Whether clients may name programs of their own.
    pub(super) checked_policy: bool,
    pub(super) key: Key,
    pub(super) places: Vec<Place>,
    pub(super) database: Database,
    /// Bytes that are free where the data directory is, or would be.
    pub(super) space: Option<u64>,
    pub(super) identities: Identities,
    pub(super) daemon: Daemon,
    pub(super) ports: Ports,
    pub(super) programs: Vec<Program>,
    pub(super) variables: Vec<Variable>,
    pub(super) own_logins: Vec<OwnLogin>,
    pub(super) service: Service,
    /// What could not be looked at in the time there is.
    pub(super) unseen: Vec<&'static str>,
}

/// The kind of system, where advice differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    MacOs,
}

/// The encryption key, as far as one can speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Whether it stands in a variable.
    pub(super) in_variable: bool,
    /// `<config>/encryption.key`.
    pub(super) file: PathBuf,
    pub(super) file_seen: Seen,
    pub(super) loaded: Result<LoadedKey, KeyTrouble>,
}

/// A key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoadedKey {
    pub(super) id: String,
    /// Every source that holds it, in words.
    pub(super) places: Vec<String>,
}

/// Why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyTrouble {
    /// No source has one.
    Missing,
    /// A source cannot be read or holds no key, or two differ; in words.
    Unusable(String),
}

/// A file or directory that only the user should be able to change, or even read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: &'static str,
    /// What it is, as the beginning of a sentence.
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    pub(super) seen: Seen,
    pub(super) wanted: Wanted,
}

/// How a place should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A directory that the daemon refuses unless it is the user's alone.
    PrivateDirectory,
    /// A directory that others must not write to.
    GuardedDirectory,
    /// A file that only the user reads.
    PrivateFile,
    /// A file that only the user writes.
    GuardedFile,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    /// It cannot be looked at; why.
    Hidden(String),
    Is(Node),
}

/// Something in the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) uid: u32,
    /// Permission bits.
    pub(super) mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    File,
    Link,
    Other,
}

/// The database.
#[derive(Debug)]
pub(super) enum Database {
    /// There is none yet; where it will be.
    Absent(String),
    /// What it says of itself; where it is.
    Is(String, Inspection),
    /// It cannot be looked at; where it is, and why.
    Failed(String, String),
}

/// The directories that hold the CLIs' logins.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Identities {
    pub(super) root: PathBuf,
    /// Directories that srvd makes.
    pub(super) directories: Vec<(PathBuf, Node)>,
    /// The CLIs' credential files.
    pub(super) credentials: Vec<(PathBuf, Node)>,
    /// What belongs to somebody else, and to whom; the first few.
    pub(super) foreign: Vec<(PathBuf, u32)>,
    /// What cannot be read, and why.
    pub(super) hidden: Vec<(PathBuf, String)>,
    /// Directories of bundles that the database does not know.
    pub(super) unowned: Vec<Unowned>,
    /// Whether there was more than is looked at.
    pub(super) truncated: bool,
}

/// The directory of a bundle that is not, or not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unowned {
    pub(super) path: PathBuf,
    /// The providers that a login lies there of.
    pub(super) logins: Vec<String>,
}

/// The daemon, from outside.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) endpoint: EndpointSeen,
    pub(super) lock: LockSeen,
    pub(super) answer: Answer,
    pub(super) socket: PathBuf,
    pub(super) runtime: PathBuf,
    pub(super) data: PathBuf,
}

/// What `endpoint.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EndpointSeen {
    Absent,
    /// It cannot be read; why.
    Broken(String),
    Of {
        pid: u32,
        /// Whether there is such a process.
        alive: bool,
    },
}

/// The lock of the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LockSeen {
    Free,
    /// A daemon has it, and its number if that can be told.
    Held(Option<u32>),
    /// It cannot be told; why.
    Unknown(String),
}

/// What the daemon says when it is asked who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nobody listens.
    Nobody,
    /// It took the connection, and then nothing came in time.
    Silent,
    /// It could not be asked; why.
    Failed(String),
    /// It runs.
    Runs {
        /// Its version.
        version: String,
        /// The newest migration that it has applied.
        schema: i64,
        /// Logins under way.
        live_sessions: u64,
    },
}

/// The loopback ports that CLIs insist on.
#[derive(Debug)]
pub(super) struct Ports {
    /// Each port with the providers that need it.
    pub(super) fixed: Vec<(u16, Vec<String>)>,
    pub(super) held: Vec<HeldPort>,
}

/// What was found of a provider's CLI.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) provider: String,
    pub(super) name: String,
    /// The version that the registry's entry was proven with.
    pub(super) tested: Option<String>,
    /// Each different program with one of its names, in the order in which they are found.
    pub(super) found: Vec<(PathBuf, Version)>,
}

/// A variable in the caller's environment that a launch would remove; never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) role: Role,
    /// Names of the providers whose programs heed it.
    pub(super) heeded_by: Vec<String>,
}

/// What a variable does to a program that is started without srvd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// It is another credential.
    Credential,
    /// It names another directory.
    Directory,
    /// It names another server, or changes where the login is looked for.
    Override,
}

/// A login of the user's own CLI, outside srvd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnLogin {
    pub(super) provider: String,
    pub(super) name: String,
    /// `~/...`, or the directory that a variable names.
    pub(super) directory: String,
    /// The variable of this environment that names the directory.
    pub(super) variable: Option<String>,
    pub(super) state: LoginState,
    pub(super) fate: Fate,
}

/// The state of a login in the user's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoginState {
    /// They are a login.
    Good,
    /// They are none; why.
    Unusable(String),
    /// The CLI keeps it where only the CLI can look.
    Elsewhere { reason: String, hint: String },
}

/// What srvd does with a login of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is an account.
    Adopted,
    /// An account holds the login in another of the user's directories.
    AdoptedElsewhere(PathBuf),
    /// Another account of that provider is bound.
    Bound,
    /// Its account was removed, so it is left alone.
    Declined,
    /// The next start takes it over.
    Waiting,
    /// The database cannot be asked.
    Unknown,
}

/// Who starts the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// Whether systemd or launchd is there to do it.
    pub(super) managed: bool,
    /// The service file.
    pub(super) unit: Option<PathBuf>,
    /// Whether it is a service of the whole machine.
    pub(super) system_wide: bool,
    /// Whether the user's services outlive the user's sessions; `None` where that is no question.
    pub(super) lingers: Option<bool>,
}
