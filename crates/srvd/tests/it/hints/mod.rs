//! The next steps that the program prints: each command is typed at a shell, in the situation that prints it.
//!
//! The rows are those of the program's own table. A test names the rows that it types and fails if it does not type one of
//! them, and the test of the table fails for a row that no test types.

mod accounts;
mod binding;
mod boot;
mod checkup;
mod clients;
mod files;
mod keys;
mod launches;
mod logins;
mod operators;
mod own;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use srvd::{ROWS, Row};

use crate::support::Home;
use crate::support::program::Program;

/// Defines tests that each name the rows that they type, and the list of all these rows.
macro_rules! typed {
    ($($test:ident types [$($row:ident),+ $(,)?]: |$typed:ident| $body:block)+) => {
        pub(super) const ROWS: &[&str] = &[$($(stringify!($row),)+)+];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let mut $typed = super::Typed::of(&[$(stringify!($row)),+]);
                $body
                $typed.end();
            }
        )+
    };
}
use typed;

/// The rows that the tests below type.
const TYPED: &[&[&str]] = &[
    accounts::ROWS,
    binding::ROWS,
    boot::ROWS,
    checkup::ROWS,
    clients::ROWS,
    files::ROWS,
    keys::ROWS,
    launches::ROWS,
    logins::ROWS,
    operators::ROWS,
    own::ROWS,
];

#[test]
fn next_step_is_typed_or_says_why_it_is_no_command() {
    let typed: BTreeSet<&str> = TYPED.iter().copied().flatten().copied().collect();
    let commands: BTreeSet<&str> =
        ROWS.iter().filter(|row| row.command.is_some()).map(|row| row.name).collect();
    let untyped: Vec<&&str> = commands.difference(&typed).collect();
    assert!(untyped.is_empty(), "no test types these rows: {untyped:?}");
    let unknown: Vec<&&str> = typed.difference(&commands).collect();
    assert!(unknown.is_empty(), "the table has no such commands: {unknown:?}");
    for row in ROWS.iter().filter(|row| row.command.is_none()) {
        assert!(row.why.is_some_and(|why| !why.is_empty()), "{} needs a command or a reason", row.name);
    }
}

/// The rows that a test has to type, and those that it has found printed.
struct Typed {
    rows: BTreeSet<&'static str>,
    found: BTreeSet<&'static str>,
}

impl Typed {
    fn of(rows: &[&'static str]) -> Self {
        Self { rows: rows.iter().copied().collect(), found: BTreeSet::new() }
    }

    /// Returns the command of a row as it is printed in a text, which may hold other lines.
    fn step(&mut self, row: &'static str, said: &str) -> String {
        assert!(self.rows.contains(row), "the test does not name {row}");
        self.found.insert(row);
        let known = ROWS.iter().find(|known| known.name == row).unwrap_or_else(|| panic!("no row {row}"));
        said.lines()
            .find_map(|line| command_in(known, line))
            .unwrap_or_else(|| panic!("{row} is not printed: {said}"))
    }

    /// Types the command of a row at a shell. It has to succeed.
    fn types(&mut self, row: &'static str, said: &str, home: &Home) -> Output {
        let line = self.step(row, said);
        succeeds(home, &line)
    }

    fn end(self) {
        assert_eq!(self.rows, self.found, "rows that were not typed");
    }
}

/// Returns the command in a line that a row printed. The arguments of a row are in braces.
fn command_in(row: &Row, line: &str) -> Option<String> {
    let literals = |text: &'static str| -> Vec<&'static str> {
        text.split('{')
            .flat_map(|part| part.split_once('}').map_or(vec![part], |(_, rest)| vec![rest]))
            .collect()
    };
    let line = line.trim_start();
    let mut rest = line.strip_prefix("hint: ").unwrap_or(line);
    for literal in literals(row.before).into_iter().filter(|text| !text.is_empty()) {
        rest = &rest[rest.find(literal)? + literal.len()..];
    }
    let command = row.command?;
    let first = command.split('{').next()?;
    let start = if row.before.is_empty() { rest.find(first)? } else { 0 };
    let rest = &rest[start..];
    let after = literals(row.after);
    let end = after.iter().find(|text| !text.is_empty()).map_or(Some(rest.len()), |text| rest.find(text))?;
    let printed = rest[..end].split(". To use it as it is").next()?.trim();
    let mut left = printed;
    for literal in literals(command).into_iter().map(str::trim).filter(|text| !text.is_empty()) {
        left = &left[left.find(literal)? + literal.len()..];
    }
    Some(printed.to_owned())
}

/// Returns a shell with this line, in the environment of the program, which is first on the path.
fn shell(home: &Home, line: &str) -> Command {
    let own = home.command(&[]);
    let program = Path::new(own.get_program()).parent().unwrap().to_owned();
    let path = own.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap();
    let dirs = std::iter::once(program).chain(std::env::split_paths(path));
    let path = std::env::join_paths(dirs).unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", line]).env_clear().stdin(std::process::Stdio::null());
    shell.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", path);
    shell
}

/// Types a line at a shell. It has to succeed.
fn succeeds(home: &Home, line: &str) -> Output {
    let output = shell(home, line).output().unwrap();
    assert!(output.status.success(), "{line}: {}{}", out(&output), err(&output));
    output
}

/// Types a line that has to fail, and returns what it says.
fn fails(home: &Home, line: &str) -> String {
    let output = shell(home, line).output().unwrap();
    assert!(!output.status.success(), "{line}: {}{}", out(&output), err(&output));
    err(&output)
}

/// Types a line at a shell in a directory.
fn within(home: &Home, dir: &Path, line: &str) -> (bool, String) {
    let output = shell(home, line).current_dir(dir).output().unwrap();
    (output.status.success(), format!("{}{}", out(&output), err(&output)))
}

/// Types a line at a shell and answers its question. It has to succeed.
async fn answers(home: &Home, line: &str, answer: &str) -> String {
    let mut program = Program::start(shell(home, line));
    program.types(answer).await;
    let ended = program.end().await;
    assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
    format!("{}{}", ended.stdout, ended.stderr)
}

/// Types the command of a login, and finishes it as a browser would.
async fn finishes(home: &Home, line: &str) {
    let mut login = Program::start(shell(home, line));
    login.notes("Paste the code or the address that the browser ended on:").await;
    login.types("https://login.fake.test/callback?code=planted-code-123&state=st4te").await;
    let ended = login.end().await;
    assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the findings of a checkup, started by this line.
fn findings(home: &Home, line: &str) -> Vec<Value> {
    let output = shell(home, line).output().unwrap();
    let mut all: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", err(&output)));
    serde_json::from_value(all["findings"].take()).unwrap()
}

/// Returns the remedy of a finding.
fn remedy(findings: &[Value], id: &str) -> String {
    let found = findings.iter().find(|finding| finding["id"] == id);
    let found = found.unwrap_or_else(|| panic!("no {id} in {findings:?}"));
    found["fix"].as_str().unwrap_or_else(|| panic!("no remedy in {found}")).to_owned()
}

/// Returns the severity of a finding; `None` if there is none.
fn severity(findings: &[Value], id: &str) -> Option<String> {
    let found = findings.iter().find(|finding| finding["id"] == id)?;
    found["severity"].as_str().map(str::to_owned)
}

/// Puts a script on the path of the home.
fn program(home: &Home, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = home.dir("bin").join(name);
    crate::support::private_directory(&home.dir("bin"));
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
