//! The table of next steps.

use super::Word;

/// A row of the table, for the tests that type it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name of the `Step`.
    pub name: &'static str,
    /// The words before the command.
    pub before: &'static str,
    /// The command, with its arguments in braces and the places that the user fills in capitals. It is a command line of
    /// a shell, or flags and variables for the command that failed.
    pub command: Option<&'static str>,
    /// The words after the command.
    pub after: &'static str,
    /// The reason why the step cannot be typed, if there is no command.
    pub why: Option<&'static str>,
}

/// Defines the steps. A row is `Name { argument: Type }: "words" ["command"] "words";`, or
/// `Name { argument: Type }: "words" because "reason";` for a step that is no command.
macro_rules! steps {
    ($(
        $name:ident $({ $($arg:ident: $kind:ty),+ })?:
        $before:literal $([$command:literal] $after:literal)? $(because $why:literal)?;
    )+) => {
        /// A next step for the user.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) enum Step { $($name $({ $($arg: $kind),+ })?,)+ }

        impl std::fmt::Display for Step {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$name $({ $($arg),+ })? => {
                        write!(f, concat!($before $(, $command, $after)?) $($(, $arg = $arg)+)?)
                    })+
                }
            }
        }

        /// Every row of the table.
        pub const ROWS: &[Row] = &[$(
            Row {
                name: stringify!($name),
                before: $before,
                command: steps!(@one $($command)?),
                after: concat!($($after)?),
                why: steps!(@one $($why)?),
            },
        )+];
    };
    (@one) => { None };
    (@one $one:literal) => { Some($one) };
}

steps! {
    // Finding the daemon, and its start.
    StartDaemon: "start one with: " ["srvd up"] "";
    StartDaemonNow: "" ["srvd up"] "";
    ShowStatus: "show it with: " ["srvd status"] "";
    AskDoctor: "it may be stopped or busy: check its log, and run: " ["srvd doctor"] "";
    StopDaemon { pid: u32 }: "stop the daemon (pid {pid}) first: " ["srvd down"] "";
    SeeItsLog: "see its log: " ["srvd logs"] "";
    LogToTerminal: "a daemon that runs in a terminal writes its log there" because "the terminal is not known";
    StartWithoutService: "to start it without the service: " ["srvd up --no-service"] "";
    StartAsInstalled: "start the daemon in the way in which it was installed, or name the key with OAUTH_ENCRYPTION_KEY_FILE"
        because "only the user knows where the key is";
    LogInFirst { provider: Word }: "" ["srvd login {provider}"] "";
    SeeProviders: "install a CLI; these are known: " ["srvd providers"] "";
    SeeLogins: "" ["srvd status"] "";
    StopItFirst: "stop it first, and run this command again" because "the process that holds the lock is not known";
    OneDaemonEach: "stop that daemon first, or give this one a database of its own with SRVD_DATABASE_URL"
        because "the other daemon may run on another machine";
    MoreConnections: "close a client, or set connections higher under [listen] in srvd.toml and restart the daemon"
        because "it asks to edit srvd.toml";
    DaemonGone: "check the daemon's log, and try again when the daemon is running" because "it asks to wait";
    RestartAfterUpdate: "if srvd was updated, restart the daemon" because "how a daemon is started is not known";
    WrongKey: "put a key that is needed only for old secrets into OAUTH_ENCRYPTION_KEYS_OLD"
        because "only the user knows where the old key is";
    RestoreDatabase: "put the file back, or restore a backup: " ["srvd restore --force FILE"] "";
    BeginWithEmptyDatabase: "to begin with an empty database, move database.json and identities away from the data directory"
        because "the error names no path";
    BeginWithoutRecord { record: Word }: "to begin with an empty database: " ["mv {record} {record}.old"] "";
    UseThisDatabase: "put the known database back; to use this one, move database.json away from the data directory"
        because "the error names no path";
    TrustTheDatabase { record: Word }: "if you are sure of the database: " ["mv {record} {record}.old"]
        "   (the next start writes it anew)";
    NameDatabase: "name the database of the daemon with SRVD_DATABASE_URL, or its directory with " ["--data-dir DIR"] "";
    CreateDatabase: "a start of the daemon creates one: " ["srvd serve --migrate-only"] "";
    NameDatabaseAgain: "name it again with SRVD_DATABASE_URL or " ["--database-url URL"] "";
    RestoreIdentities: "name the database with SRVD_DATABASE_URL, or restore a backup: " ["srvd restore FILE"] "";
    BeginAnew { identities: Word }: "to begin anew: " ["mv {identities} {identities}.old"] "";

    // Paired clients.
    PairAgain: "pair again" because "a client has to enter the code within a minute";
    PairWithScope { scope: String }: "pair again, with the scope {scope}" because "a client has to enter the code within a minute";
    AttemptsLeft { left: u8 }: "enter the code that the terminal shows; attempts left: {left}"
        because "only the person at the terminal sees the code";
    SendCode: "send the six digits and the name of the program, as in the protocol's description of POST /pair"
        because "it is for the author of a client";
    AnswerYes: "answer the question at the terminal with yes" because "it is an answer to a question";
    NameTokenId: "name the token by its id, as listed by: " ["srvd tokens"] "";
    ListTokens: "list them with: " ["srvd tokens"] "";

    // The console.
    OpenConsole: "open it again with: " ["srvd console"] "";
    ListConsoles: "list them with: " ["srvd console --list"] "";
    TurnConsoleOn: "remove `console = false` from srvd.toml and restart the daemon" because "it asks to edit srvd.toml";
    TurnTcpOn: "remove `listen.tcp = \"off\"` from srvd.toml and restart the daemon" because "it asks to edit srvd.toml";

    // Bundles and accounts.
    ListBundles: "list them with: " ["srvd bundles"] "";
    MakeBundle: "to make it, add " ["--new"] "   (to list the others: srvd bundles)";
    ListAccounts: "list them with: " ["srvd accounts"] "";
    UseAccountId: "use the account's id, as listed by: " ["srvd accounts"] "";
    ShowAccountStatus: "show its status with: " ["srvd accounts"] "";
    ForgetHere { account: Word }: "to forget it on this machine only: " ["srvd account forget {account}"] "";
    ForgetFirst { account: Word }: "log in to another bundle, or delete that account first: "
        ["srvd account forget {account}"] "";
    Confirm { question: String }: "{question}  To confirm, add " ["--yes"] "";
    NameExportFile { bundle: Word }: "name a file: " ["srvd export --bundle {bundle} --output FILE"] "";

    // Directories that are bound to a bundle.
    BundleOfVariable { variable: String }: "the bundle is set by the variable {variable}; for this command only: "
        ["--bundle BUNDLE"] "";
    BundleOfFile { file: String }: "the bundle is set by {file}; bind another one with: " ["srvd use BUNDLE"] "";
    ChangeDirectory: "change to a directory that belongs to you" because "only the user knows the directory";
    NameBundle: "or name a bundle for this command only: " ["--bundle BUNDLE"] "   (or set SRVD_BUNDLE=BUNDLE)";
    AllowFile: "obey the file that is named above with: " ["srvd use --allow"] "";
    BindDirectory: "bind it with: " ["srvd use BUNDLE"] "   (see: srvd bundles)";
    BindAgain: "check the file, and then bind the directory with: " ["srvd use BUNDLE"]
        "   (or name a bundle: --bundle BUNDLE)";
    ShowBinding: "show the bundle that applies here with: " ["srvd which"] "";

    // Logins.
    LogIn { provider: Word, bundle: Word }: "" ["srvd login {provider} --bundle {bundle}"] "";
    LogInAnew { provider: Word, bundle: Word }: "" ["srvd login {provider} --bundle {bundle} --replace-person"] "";
    LogInAsOrReplace { person: String, provider: Word, bundle: Word }: "log in again as {person}, or accept the other person: "
        ["srvd login {provider} --bundle {bundle} --replace-person"] "";
    AddKey { provider: Word, bundle: Word }: "" ["srvd add-key {provider} --bundle {bundle}"] "";
    LogInToAny { bundle: Word }: "" ["srvd login PROVIDER --bundle {bundle}"] "";
    LogInAgain { provider: Word, bundle: Word }: "to replace it, whoever the new login belongs to: "
        ["srvd login {provider} --bundle {bundle} --replace-person"] "";
    CancelRunning { session: String, provider: Word, bundle: Word }: "to cancel the running login ({session}): "
        ["srvd login {provider} --bundle {bundle} --cancel"] "";
    CancelRunningAnywhere { session: String, provider: Word }: "to cancel the running login ({session}): "
        ["srvd login {provider} --cancel"] "";
    CancelOne { provider: Word }: "name the bundle: " ["srvd login {provider} --cancel --bundle BUNDLE"]
        "   (see: srvd bundles)";
    AddKeyInstead { provider: Word }: "add a key with: " ["srvd add-key {provider}"] "";
    LogInInstead { provider: Word }: "log in with: " ["srvd login {provider}"] "";
    LogInUser { provider: Word, user: Word, agent: Word }: "srvd login {provider} --user {user} --agent {agent}"
        because "the tests of users type it";
    LogInUserAnew { provider: Word, user: Word, agent: Word }: "to replace it, whoever the new login belongs to: srvd login {provider} --user {user} --agent {agent} --replace-person"
        because "the tests of users type it";
    LogInUserAsOrReplace { person: String, provider: Word, user: Word, agent: Word }: "log in again as {person}, or accept the other person: srvd login {provider} --user {user} --agent {agent} --replace-person"
        because "the tests of users type it";
    CancelUser { provider: Word, user: Word, agent: Word }: "to cancel the running login: srvd login {provider} --user {user} --agent {agent} --cancel"
        because "the tests of users type it";
    AddKeyUser { provider: Word, user: Word, agent: Word }: "srvd add-key {provider} --user {user} --agent {agent}"
        because "the tests of users type it";
    NameUser { provider: Word }: "srvd login {provider} --user USER" because "the tests of users type it";
    ListProfiles: "see: srvd profiles" because "the tests of users type it";
    UseCode: "turn the TCP listener on, or use a login with a code" because "it asks to edit srvd.toml";
    LogInThere { command: String }: "log in there with: " ["{command}"] "";
    LoginEndsAlone: "it ends by itself two minutes after this command, or at its deadline" because "it asks to wait";
    UseNetworkSettings { variable: String }: "this shell has {variable}, but the daemon and its CLIs do not use it: set proxy or ca_file under [network] in srvd.toml, and restart the daemon"
        because "it asks to edit srvd.toml";
    InstallCli { command: String, searched: String }: "" ["{command}"]
        "   (searched: {searched}; if it is installed elsewhere, add its directory to search_path under [spawn] in srvd.toml and restart the daemon)";
    InstallWith { command: String }: "install it with: " ["{command}"] "";
    CheckProxy { proxy: String }: "check that the proxy {proxy} works, or change [network] in srvd.toml and restart the daemon"
        because "it asks to edit srvd.toml";
    UseDaemonsNetwork { variable: String }: "the daemon's environment has {variable}, but CLIs do not get it: set proxy or ca_file under [network] in srvd.toml (or from_environment = true), and restart the daemon"
        because "it asks to edit srvd.toml";
    CheckInstalled: "check that the CLI is installed" because "it names no single command";
    CheckTerminals: "check that /dev/pts is mounted and that a terminal can be opened there (in a container: mount devpts), then start the login again"
        because "how a container is started is not known";
    Unproven: "start the login again; if it ends in the same way, this version of the CLI may store its login in another form: see srvd providers"
        because "it names the command that failed";
    FinishInBrowser: "start the login again and finish it in the browser" because "it names the command that failed";
    Approve: "start the login again and approve it" because "it names the command that failed";
    ApproveInTime: "start the login again and approve it; some CLIs do not report a denial in the browser" because "it names the command that failed";
    CheckNetwork: "start the login again; if that fails too, check the network of this machine" because "it names the command that failed";
    CheckHung: "start the login again; if the check hangs again, look at the network of this machine" because "it names the command that failed";
    StopPortsProgram: "stop the program that uses the port, then start the login again" because "the program is not always known";
    StoredElsewhere: "the CLI says that it logged in, but it stored nothing in the directory that srvd gave it; if the program is a script that sets a directory of its own, put the CLI itself first on spawn.search_path in srvd.toml"
        because "it asks to edit srvd.toml";
    Reinstall { command: String }: "install the current CLI: " ["{command}"] "";
    TypeKey: "type it at the prompt, or pass it on standard input" because "it asks for a key";
    KeyNotStored: "the key was not stored" because "it tells the outcome";
    StoreUnchecked: "the key was not stored; to store it without a check, add " ["--no-validate"] "";

    // Launches.
    RunWithoutSrvd { variable: String, program: Word }: "to run it once without srvd: " ["{variable}=off {program}"] "";
    StartLoggedOut { bundle: Word, program: Word }: "to start it logged out: "
        ["srvd exec --bundle {bundle} --unbound -- {program}"] "";
    UseAnotherBundle: "this bundle holds no account; name another one: " ["--bundle BUNDLE"] "";
    ListShims: "a program of this name may be a wrapper that starts itself; see: " ["srvd shims list"] "";
    SettingsMayDiffer: "the settings of the CLI, of this project and of the system may set another credential"
        because "it tells where to look";
    DoNotVerify: "start it without --verify" because "it asks to leave out a flag";
    RemoveSetting { key: String, file: String }: "remove {key} from {file}" because "it asks to edit a file of a CLI";
    CorrectFile { file: String }: "correct or remove {file}" because "it asks to edit a file of a CLI";
    CloseDirectory { path: Word }: "" ["chmod go-w {path}"] "";
    SetVariable { variable: String }: "set the variable {variable} that srvd.toml names, and restart the daemon"
        because "only the user knows the value";
    RunKeyCommand: "run the key's command in srvd.toml manually to see its error" because "the command is in srvd.toml";
    StoreProfile: "name a user who has one, or declare one in agents.toml" because "it asks to edit agents.toml";
    LaunchSingly: "launch them one at a time and name the provider: " ["--provider PROVIDER"] "";

    // Files that other users can change.
    CloseOwn { path: Word }: "Run: " ["chmod go-w {path}"] "";
    CloseAsRoot { path: Word }: "Run: " ["sudo chmod go-w {path}"] "";
    TakeAsRoot { user: u32, path: Word }: "Run: " ["sudo chown {user} {path}"] "";
    CloseWindowsDrive: "Drives of Windows are open to every user under WSL. Put options = \"metadata,umask=022\" under [automount] in /etc/wsl.conf and run: wsl.exe --shutdown"
        because "it ends the machine";
    MendTheImage: "The file system is mounted read-only, so mend it where it is made" because "it is mended elsewhere";
    AcceptInFile { path: String, key: String }: "To use it as it is, add {path} to {key} in srvd.toml"
        because "it asks to edit srvd.toml";
    AcceptInVariable { variable: String, path: Word }: "To use it as it is, set " ["{variable}={path}"] "";
    CloseFile { path: Word }: "close it with: " ["chmod go-w {path}"] "";

    // Providers and shims.
    ReplaceEntry: "replace it with: " ["--replace"] "";
    RecordLogin: "record its output, or leave out `tested`, which marks the entry as untested" because "it asks to edit the entry";
    KnownProviders { known: String }: "known providers: {known}" because "it is a list";
    KnownClis { known: String }: "known CLIs: {known}" because "it is a list";
    AddEntry: "add an entry for it to providers.d; nothing was imported" because "it asks to write a file";
    MoveShimTarget: "move the file away, or choose another directory with " ["--dir DIR"] "";

    // Keys, backups, exports.
    KeyIsNeeded: "secrets that were encrypted with that key can be read only with that key" because "it is a warning";
    RowsIntact { rows: u64 }: "the {rows} rows before that are intact" because "it tells the outcome";
    UseServerTool { command: String }: "use: " ["{command}"] "";
    ReplaceDatabase: "to replace it and keep the old one beside the new one: " ["srvd restore --force FILE"] "";
    TrustBackup: "backups of srvd 0.1 cannot: if you made this one and kept it where only you can write, add "
        ["--unauthenticated"] "";
    ChooseDatabase: "choose with " ["--database recorded"] " or --database configured";
    NameServer: "name it, with user and password, in SRVD_DATABASE_URL" because "only the user knows the password";
    LongerPassphrase: "use a longer one: anyone who has the file can try any number of passphrases" because "it asks for a passphrase";
    PassPassphrase: "pass it with " ["--passphrase-file PATH"] " or --passphrase-stdin";
    BetterPassphrase: "use four or more words that do not belong together" because "it asks for a passphrase";
    FinishRotation: "finish it first with: " ["srvd key rotate"] "";
    ChangeKeyThere: "put the new key there and the old one into OAUTH_ENCRYPTION_KEYS_OLD, and then run: " ["srvd key rotate"] "";
    OneKeyPlace: "remove it from one of them, and run srvd key rotate again" because "only a build with the keychain prints it";
    DeleteAndRotate: "delete the accounts named above, or log in to them again, and then run srvd key rotate again"
        because "it names several accounts";
    DeleteUnopened: "delete the accounts named above, or log in to them again" because "it names several accounts";
    RunAgain: "run the command again" because "it names the command that failed";

    // Operators' sign-ins.
    ListOperators: "see: " ["srvd operator list"] "";
    UseOperatorId: "use the account's id; see: " ["srvd operator list"] "";
    ListForges: "list the forges in srvd.toml with: " ["srvd operator list"] "";
    NameForge { known: String }: "name one of: {known}" because "it is a list";
    AddForge { name: String }: "add [forges.{name}] to srvd.toml and restart the daemon" because "it asks to edit srvd.toml";
    AddSomeForge: "add it to srvd.toml as [forges.<name>]" because "it asks to edit srvd.toml";
    SignIn { forge: Word }: "sign in with: " ["srvd operator login {forge}"] "";
    SignInOrSelect: "sign in with: " ["srvd operator login NAME"] ", or select one with: srvd operator use ACCOUNT";
    SelectOperator: "select one with: " ["srvd operator use ACCOUNT"] "";
    IdentifyLater: "try again later, or specify the user with subject and accountLogin" because "it names parameters for programs";
    UseSocket: "use the Unix socket, or forge.request" because "it names a method for programs";
    AddScope: "add the scope to scopes of the forge in srvd.toml, restart the daemon and sign in again" because "it asks to edit srvd.toml";
    ForgeLater: "try again later" because "it asks to wait";
    LookFirst: "a request that changes something may have arrived; look before you repeat it" because "it names no single call";
    WithoutForge: "leave --forge out, or choose another bundle" because "either can be meant";
    IdentifyToken: "allow the token to read its user, or specify the user with subject and accountLogin" because "it names parameters for programs";

    // For programs.
    UseEphemeralClear: "use ephemeral.clear to remove the credentials of agents that have ended" because "it names a method for programs";
    UseIntoBundle: "log in to it with intoBundleId" because "it names a parameter for programs";
    UseAuthStart: "use auth.start" because "it names a method for programs";
    UseSubmitKey: "use auth.submitapikey" because "it names a method for programs";
    UseRefreshStatus: "check the credential with account.refreshstatus" because "it names a method for programs";
    UseDelete: "account.delete deletes the account from this machine; the credential stays valid at the provider"
        because "it names a method for programs";
    SetForce: "to replace its login, whoever the new one belongs to, set force" because "it names a parameter for programs";
    ReplaceLogin: "log in again with force to replace the stored login" because "it names a parameter for programs";
    OmitHost: "omit the host" because "it asks to leave out a parameter";
    OmitField: "omit the field; the daemon knows the command" because "it asks to leave out a parameter";
    OmitPath: "omit cliPath, or add the program's directory to search_path under [spawn] in srvd.toml and restart the daemon"
        because "it asks to edit srvd.toml";
    ChooseRecipe { known: String }: "omit the field, or choose a recipe: {known}" because "it is a list";
    UseKeyTaker { takers: String }: "API keys are taken by: {takers}" because "it is a list";
    UseRecipe { known: String }: "use one of: {known}" because "it is a list";
    EditFile { file: String }: "edit {file}" because "it asks to edit agents.toml";
    BindOrDelete: "bind that account again, or delete it first" because "either can be meant";
    FinishOrCancel: "finish or cancel that login first" because "either can be meant";
    FinishOrCancelOne: "finish or cancel one of them, then start the login again" because "either can be meant";
    StartAgain: "start the login again" because "it names the call that failed";
    StartAgainLater: "start the login again once the daemon is running" because "it asks to wait";
    ReportTokenLater: "the token has been retained; report it again later" because "it asks to wait";
    DeleteLater: "the login has been ended, but the account still exists; delete the account later" because "it asks to wait";
    RetryLater: "retry later; see the daemon's log for the cause" because "it asks to wait";
    TryInAMoment: "try again in a moment" because "it asks to wait";
    FreeSpace: "free space on the database's disk, then try again" because "only the user knows what can go";
    TryLater: "try again later; see the daemon's log for the cause" because "it asks to wait";
    ReadFirst: "read the current state before you repeat the request" because "it names no single call";
    PutFileBack: "stop the daemon, put the file back, and start it again; the daemon's log names the file" because "only the user knows where the file is";
    ReportBug: "report this as a bug in srvd, including the cause from the daemon's log" because "it asks to write to the developers";
    RestoreBackup: "stop the daemon and restore the database from a backup" because "the daemon does not know the backup";
    SeeLog: "see the daemon's log for the cause" because "the daemon does not know where its log goes";
    UseTool { advice: &'static str }: "{advice}" because "it names a program of the database";

    // The doctor: the daemon and its database.
    RestartHung: "check its log, and restart it" because "how a daemon is started is not known";
    CorrectProblem: "correct the problem named above" because "the finding names it";
    RestartDaemon: "restart the daemon" because "how a daemon is started is not known";
    OwnDirectories: "give each daemon its own SRVD_DATA_DIR and SRVD_RUNTIME_DIR, and use the same two for the commands"
        because "only the user knows which daemon is meant";
    UseItsRuntime: "try again; if that fails, use the SRVD_RUNTIME_DIR that the daemon was started with" because "it asks to wait";
    MendDatabase: "for a server, check that it is running; for a file, restore a copy or move the file away" because "either can be meant";
    UseNewerSrvd: "use the newer srvd again" because "this program cannot";
    DeleteRows: "delete the accounts, bindings and bundles named above, or restore a backup; find out who can write the database"
        because "it names several rows";
    AcceptRows: "find out who can write the database, then restore a backup, or accept the rows as they are: "
        ["srvd doctor --accept-rows"] "";
    FreeDisk: "free some space on that disk" because "only the user knows what can go";
    InstallService: "in the directory with srvd's source: scripts/install.sh --service" because "it changes the machine's service manager";
    ConfigureStart: "configure this machine to start `srvd serve`" because "the machine's service manager is not known";
    Linger: "on a server: loginctl enable-linger" because "it changes the machine's service manager";

    // The doctor: files, keys and programs.
    Chmod { mode: String, path: Word }: "" ["chmod {mode} {path}"] "";
    MakePrivateDirectory { path: Word }: "" ["mkdir -p -m 700 {path}"] "";
    RemoveEndpoint { endpoint: Word, token: Word }: "" ["rm -f {endpoint} {token}"] "";
    RepairAll { first: Box<Step>, more: usize }: "{first}; and {more} more, which this does too: " ["srvd doctor --fix"] "";
    CheckDirectoriesAbove: "check the directories above it: one of them denies you access" because "it is not known which";
    MoveAwayOrConfigure: "move it away, or configure another path; to see the paths: " ["srvd --print-config"] "";
    TakeFile { user: u32, path: Word }: "" ["sudo chown {user} {path}"] "";
    TakeTree { user: u32, path: Word }: "" ["sudo chown -R {user} {path}"] "";
    RemoveOrLogInElsewhere: "remove the setting, or log in to another bundle" because "either can be meant";
    CorrectOrRemove: "correct or remove the file" because "the finding names the file";
    LookForSetting { provider: Word, bundle: Word }: "look for a setting that names another credential, or log in again: "
        ["srvd login {provider} --bundle {bundle} --replace-person"] "";
    KeepOrDiscardStray { provider: Word, bundle: Word }: "bind it with: " ["srvd account keep {provider} --bundle {bundle}"]
        "   (or remove it with: srvd account discard {provider} --bundle {bundle})";
    CompareStatus: "compare with: " ["srvd status"] "";
    RenameTwin: "rename one of them by its id: " ["srvd bundle rename ID NAME"] "   (see: srvd bundles)";
    RemoveLink: "remove the link and log in again, or move the directory back to its place" because "either can be meant";
    ReplaceLink: "replace the link with the file, or log in again" because "either can be meant";
    RestoreAccess: "restore your access: chmod 700, and chown if it belongs to another user" because "it is not known which";
    RemoveUnowned: "check them, and remove those that you do not need; srvd never removes them" because "only the user knows which";
    KeyIntoFile: "put the key in a file, and name the file in OAUTH_ENCRYPTION_KEY_FILE" because "only the user knows where the variable is set";
    PutKeyBack: "put the key back from your copy; a new key cannot decrypt the existing secrets" because "only the user knows where the copy is";
    GenerateKey: "" ["srvd key generate"] "";
    PutRightKeyBack: "put the key of the database back; if it is lost, move the database away and log in again" because "only the user knows where the key is";
    CorrectConfiguration: "correct the problem named above; to see the result: " ["srvd --print-config"] "";
    RemovePolicy: "remove spawn.policy unless a client needs it" because "it asks to edit srvd.toml";
    ExamineAgain: "check whether these places can be reached, and run again: " ["srvd doctor"] "";
    FreePort: "end that program, or log in with a device code if the provider supports it" because "either can be meant";
    ListProviders: "to see how to install them, run: " ["srvd providers"] "";
    DescribeProviders: "to see how to install them, run: " ["srvd providers doc"] "";
    CheckProvider { provider: Word }: "" ["srvd providers check {provider}"] "";
    CheckVersion { provider: Word }: "run it with --version, and then run: " ["srvd providers check {provider}"] "";
    RemoveOthers: "remove the programs that you do not use, or set their order with spawn.search_path in srvd.toml" because "either can be meant";
    RemoveRecord: "remove .srvd-share.json and the links and copies that you do not want in that directory" because "only the user knows which";
    RestoreShared: "nothing, or restore the files in your own directory" because "only the user knows which";
    ShowShare: "see: " ["srvd share show --bundle BUNDLE"] "";
    SetNetwork: "set proxy or ca_file under [network] in srvd.toml (or from_environment = true, if the daemon's environment has the variables), and restart the daemon"
        because "it asks to edit srvd.toml";
    Unset { variable: String }: "start programs with `srvd exec`, or: " ["unset {variable}"] "";
    LogInWithSrvd { provider: Word }: "log in with srvd: " ["srvd login {provider} --bundle NAME --new"] "";
    UnsetOrLogIn { variable: String, other: String, provider: Word }: "unset {variable} to use {other} here as well, or log in with srvd: "
        ["srvd login {provider} --bundle NAME --new"] "";
    PreviewMigration: "preview the change with: " ["srvd migrate --dry-run"] "";
    MigrateHere: "while the daemon is stopped, run here: " ["srvd migrate"] "";
    UnlockKeychain: "over SSH: security unlock-keychain; answer macOS with \"Always Allow\"" because "only macOS prints it";
    OfEntry { advice: String }: "{advice}" because "an entry of a provider says it";
}
