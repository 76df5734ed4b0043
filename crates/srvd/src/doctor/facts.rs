//! The facts about the machine, before they are judged. They hold no value of a variable and no byte of a secret.

use std::path::PathBuf;

use auth_spawner::{HeldPort, Shadow, TokenMark, Version};
use identity_store::Inspection;

use crate::base::programs::Skipped;
use crate::hint::Hint;

/// All facts of a checkup.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) system: System,
    /// The id of the user who runs the checkup.
    pub(super) uid: u32,
    /// The reason why the operator's provider entries cannot be used; `None` if they can.
    pub(super) registry: Option<String>,
    /// True if the configuration lets clients name programs of their own.
    pub(super) checked_policy: bool,
    pub(super) key: Key,
    pub(super) places: Vec<ProtectedPath>,
    pub(super) database: Database,
    /// The number of free bytes on the file system of the data directory.
    pub(super) space: Option<u64>,
    pub(super) identities: Identities,
    pub(super) daemon: Daemon,
    pub(super) ports: Ports,
    pub(super) programs: Vec<Program>,
    /// Directories of the search path and programs that are not used.
    pub(super) skipped: Vec<Skipped>,
    pub(super) variables: Vec<Variable>,
    pub(super) own_logins: Vec<OwnLogin>,
    pub(super) service: Service,
    /// The settings that take the place of a login, each with the name of its CLI.
    pub(super) shadows: Vec<(String, Shadow)>,
    /// The answers of the CLIs to the question whose logins they would use.
    pub(super) asked: Vec<AskedIdentity>,
    /// The logins in homes of bundles that belong to no account.
    pub(super) strays: Vec<StrayLogin>,
    /// Names of variables about proxies and certificates that are set here and that srvd does not use.
    pub(super) unused_network: Vec<&'static str>,
    /// The names of the examinations that took too long.
    pub(super) unseen: Vec<&'static str>,
}

/// The kind of system. Advice differs between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum System {
    Linux,
    MacOs,
}

/// The encryption key, without any of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// True if a variable holds the key.
    pub(super) in_variable: bool,
    /// The path `<config>/encryption.key`.
    pub(super) file: PathBuf,
    pub(super) file_seen: PathState,
    pub(super) loaded: Result<LoadedKey, KeyProblem>,
}

/// A key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoadedKey {
    pub(super) id: String,
    /// A description of every source that holds the key.
    pub(super) places: Vec<String>,
}

/// The reason why there is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyProblem {
    /// No source has a key.
    Missing,
    /// A source cannot be read, a source holds no key, or two sources differ. The text is the reason.
    Unusable(String),
}

/// A file or directory that only the user should be able to change, or even read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProtectedPath {
    pub(super) id: &'static str,
    /// A description of the place, as the beginning of a sentence.
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    pub(super) seen: PathState,
    pub(super) wanted: RequiredAccess,
    /// The reason why another user can change the place or a directory above it; `None` if only root and this user can.
    pub(super) untrusted: Option<Distrust>,
}

/// A place that another user can change, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Distrust {
    pub(super) reason: String,
    pub(super) remedy: Option<Hint>,
}

/// The required kind and permissions of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequiredAccess {
    /// A directory that only the user may read. The daemon refuses any other.
    PrivateDirectory,
    /// A directory that other users must not write to.
    GuardedDirectory,
    /// A file that only the user may read.
    PrivateFile,
    /// A file that only the user may write.
    GuardedFile,
}

/// The state of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathState {
    Nothing,
    /// The path cannot be examined. The text is the reason.
    Hidden(String),
    Is(Node),
}

/// A file, a directory or another entry of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) uid: u32,
    /// The permission bits.
    pub(super) mode: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    File,
    Link,
    Other,
}

/// The state of the database.
#[derive(Debug)]
pub(super) enum Database {
    /// There is no database yet. The text is its future location.
    Absent(String),
    /// The location of the database, and the result of its inspection.
    Is(String, Box<Inspection>),
    /// The database cannot be inspected. The texts are its location and the reason.
    Failed(String, String),
}

/// The directories that hold the CLIs' logins.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Identities {
    pub(super) root: PathBuf,
    /// The directories that srvd makes.
    pub(super) directories: Vec<(PathBuf, Node)>,
    /// The CLIs' credential files.
    pub(super) credentials: Vec<(PathBuf, Node)>,
    /// The first few entries of other users, with their owners' ids.
    pub(super) foreign: Vec<(PathBuf, u32)>,
    /// The paths that cannot be read, with the reasons.
    pub(super) hidden: Vec<(PathBuf, String)>,
    /// The settings in these directories or of the system that take the place of a login, each with the name of its CLI.
    pub(super) shadows: Vec<(String, Shadow)>,
    /// The directories whose logins are lost when a copy of them is renewed: the provider, the directory and the mark of
    /// the refresh token.
    pub(super) tokens: Vec<(String, PathBuf, TokenMark)>,
    /// The directories of bundles that the database does not know.
    pub(super) unowned: Vec<Unowned>,
    /// The setup that was shared with the homes of CLIs.
    pub(super) shares: Vec<Shared>,
    /// True if there were more entries than are examined.
    pub(super) truncated: bool,
}

/// The record of what srvd shared with one home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shared {
    /// The home.
    pub(super) path: PathBuf,
    /// The reason why the record cannot be used.
    pub(super) problem: Option<String>,
    /// The links that lead nowhere.
    pub(super) broken: Vec<PathBuf>,
    /// The parts that the home does not have: file, place in the file, reason.
    pub(super) left_out: Vec<(String, String, String)>,
}

/// The directory of a bundle that does not exist, or exists no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unowned {
    pub(super) path: PathBuf,
    /// The providers whose logins are in the directory.
    pub(super) logins: Vec<String>,
}

/// The daemon, as seen from outside.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) endpoint: EndpointState,
    pub(super) lock: LockState,
    pub(super) answer: DaemonAnswer,
    pub(super) socket: PathBuf,
    pub(super) runtime: PathBuf,
    pub(super) data: PathBuf,
}

/// The state of `endpoint.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EndpointState {
    Absent,
    /// The file cannot be read. The text is the reason.
    Broken(String),
    Of {
        pid: u32,
        /// True if the process exists.
        alive: bool,
    },
}

/// The state of the lock of the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LockState {
    Free,
    /// A daemon holds the lock. The process id is present if it can be read.
    Held(Option<u32>),
    /// The state cannot be determined. The text is the reason.
    Unknown(String),
}

/// The result of a request to the daemon for its version and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DaemonAnswer {
    /// No process listens on the socket.
    Nobody,
    /// The daemon accepted the connection, but did not answer in time.
    Silent,
    /// The request failed. The text is the reason.
    Failed(String),
    /// The daemon runs.
    Runs {
        /// The version of the daemon.
        version: String,
        /// The newest migration that the daemon has applied.
        schema: i64,
        /// The number of logins in progress.
        live_sessions: u64,
    },
}

/// The answer of a CLI to the question whose login it would use for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedIdentity {
    /// Canonical provider id.
    pub provider: String,
    /// The bundle's name.
    pub bundle: String,
    /// The account for people: its CLI, its person and its bundle.
    pub account: String,
    /// The answer, compared with the account.
    pub answer: IdentityAnswer,
}

/// The answer of a CLI, compared with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdentityAnswer {
    /// The CLI would use the login of the account's person.
    Confirmed,
    /// The CLI would use its login, and one of the two persons has no name to compare.
    Unproven,
    /// The CLI would use another credential or none. The text says which.
    Wrong(String),
    /// The answer is not understood, or there is none. The text is the reason.
    Unclear(String),
    /// The CLI was not asked, because the others took too long.
    Late,
}

/// A login in a home of a bundle that belongs to no account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StrayLogin {
    /// Canonical provider id.
    pub provider: String,
    /// The bundle's id.
    pub bundle: String,
    /// The person, if the login names one.
    pub person: Option<String>,
}

/// The answers to the questions that only a running daemon and the CLIs can answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The answers of the CLIs.
    pub identities: Vec<AskedIdentity>,
    /// The daemon's list of logins that belong to no account.
    pub strays: Vec<StrayLogin>,
}

/// The fixed loopback ports that CLIs need.
#[derive(Debug)]
pub(super) struct Ports {
    /// Each port, with the providers that need it.
    pub(super) fixed: Vec<(u16, Vec<String>)>,
    pub(super) held: Vec<HeldPort>,
}

/// The programs that were found for a provider's CLI.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) provider: String,
    pub(super) name: String,
    /// The version for which the registry's entry was tested.
    pub(super) tested: Option<String>,
    /// Each different program with one of the CLI's names, in the order of the search path.
    pub(super) found: Vec<(PathBuf, Version)>,
}

/// A variable of the caller's environment that a launch would remove, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) role: Role,
    /// The names of the providers whose programs read the variable.
    pub(super) heeded_by: Vec<String>,
}

/// The effect of a variable on a program that is started without srvd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The variable holds another credential.
    Credential,
    /// The variable names another directory.
    Directory,
    /// The variable names another server, or changes the place of the login.
    Override,
}

/// A login of the user's own CLI, outside srvd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnLogin {
    pub(super) provider: String,
    pub(super) name: String,
    /// The directory as `~/...`, or the one that a variable names.
    pub(super) directory: String,
    /// The variable of this environment that names the directory.
    pub(super) variable: Option<String>,
    pub(super) state: LoginState,
    /// A setting that takes the place of the login.
    pub(super) shadow: Option<Shadow>,
    pub(super) fate: AdoptionState,
}

/// The state of a login in the user's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoginState {
    /// The files hold a login.
    Good,
    /// The files hold no login. The text is the reason.
    Unusable(String),
    /// The CLI keeps the login in a place that only the CLI can read.
    Elsewhere { reason: String, hint: String },
}

/// The treatment of one of the user's own logins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AdoptionState {
    /// The login is an account of srvd.
    Adopted,
    /// The login is an account of srvd, in another of the user's directories.
    AdoptedElsewhere(PathBuf),
    /// Another account of that provider is bound.
    Bound,
    /// The account of the login was removed, so the login is not taken over again.
    Declined,
    /// The next start of the daemon takes the login over.
    Waiting,
    /// The database cannot be queried.
    Unknown,
}

/// The service that starts the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// True if systemd or launchd manages services here.
    pub(super) managed: bool,
    /// The path of the service file.
    pub(super) unit: Option<PathBuf>,
    /// True if the service is one of the whole machine.
    pub(super) system_wide: bool,
    /// True if the user's services go on after the user has logged out; `None` where this does not apply.
    pub(super) lingers: Option<bool>,
}
