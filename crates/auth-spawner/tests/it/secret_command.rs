//! Tests of commands that print secrets: the error for each kind of misbehaviour.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use auth_spawner::{ChildEnv, SecretCommand, SecretError};
use secrecy::ExposeSecret as _;
use tokio::sync::oneshot;

use crate::harness::PATIENCE;

async fn asked(argv: &[&str], timeout: Duration) -> Result<String, SecretError> {
    let argv: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
    let environment: ChildEnv = [("PATH", "/usr/bin:/bin"), ("GIVEN", "given")].into_iter().collect();
    let command = SecretCommand { argv: &argv, environment: &environment, timeout, bytes: 64 * 1024 };
    command.ask().await.map(|secret| secret.expose_secret().to_owned())
}

async fn shell(script: &str) -> Result<String, SecretError> {
    asked(&["/bin/sh", "-c", script], PATIENCE).await
}

#[tokio::test]
async fn secret_command_result_matches_how_the_command_ended() {
    assert_eq!(shell("echo sk-1").await, Ok("sk-1".to_owned()));
    assert_eq!(shell("echo sk-1; echo planted >&2").await, Ok("sk-1".to_owned()));
    assert_eq!(shell("echo sk-1; exit 3").await, Err(SecretError::Failed(Some(3))));
    assert_eq!(shell("echo sk-1; kill -9 $$").await, Err(SecretError::Failed(None)));
    assert_eq!(shell("true").await, Err(SecretError::Empty));
    assert_eq!(shell("echo one; echo two").await, Err(SecretError::NotText));
    // The command's input is empty, and its environment is exactly the given list.
    assert_eq!(shell("cat; echo \"$GIVEN$HOME$CARGO_MANIFEST_DIR\"").await, Ok("given".to_owned()));
    assert_eq!(shell("pwd").await, Ok("/".to_owned()));
    // The command is run without a shell.
    assert_eq!(asked(&["/bin/echo", "$(id)", "; a  b"], PATIENCE).await, Ok("$(id) ; a  b".to_owned()));
    assert_eq!(asked(&[], PATIENCE).await, Err(SecretError::NoProgram));
    assert_eq!(asked(&["sh", "-c", "echo sk-1"], PATIENCE).await, Err(SecretError::NoProgram));
    assert_eq!(asked(&["/no/such/program"], PATIENCE).await, Err(SecretError::NotRun));
    assert_eq!(asked(&["/"], PATIENCE).await, Err(SecretError::NotRun));
}

#[tokio::test]
async fn secret_command_output_is_limited_to_64_kib() {
    let filled = "head -c 65536 /dev/zero | tr '\\0' a";
    assert_eq!(shell(filled).await.map(|secret| secret.len()), Ok(65536));
    assert_eq!(shell(&format!("{filled}; printf b")).await, Err(SecretError::TooLong));
    assert_eq!(shell("head -c 100000000 /dev/zero | tr '\\0' a").await, Err(SecretError::TooLong));
    assert_eq!(shell("yes").await, Err(SecretError::TooLong));
}

/// Resolves when every process that holds the FIFO open for writing has exited. A separate thread waits for that.
fn released(fifo: &Path) -> oneshot::Receiver<std::io::Result<Vec<u8>>> {
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    let fifo = fifo.to_owned();
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || tell.send(std::fs::read(fifo)));
    told
}

#[tokio::test]
async fn hanging_secret_command_is_killed_with_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("held");
    let gone = released(&fifo);
    // The shell waits for its child, and both hold the FIFO.
    let script = format!("exec 9>{}; echo sk-1; sleep 1000; true", fifo.display());
    let answer = asked(&["/bin/sh", "-c", &script], Duration::from_millis(300)).await;
    assert_eq!(answer, Err(SecretError::TimedOut));
    tokio::time::timeout(PATIENCE, gone).await.expect("the process group is still running").unwrap().unwrap();
}

#[tokio::test]
async fn grandchild_that_holds_the_output_is_killed_and_the_secret_counts() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("held");
    let gone = released(&fifo);
    // The shell opens the FIFO itself, so that it is open before anything can be killed.
    let script = format!("exec 9>{}; sleep 1000 & exec 9>&-; echo sk-1", fifo.display());
    assert_eq!(shell(&script).await, Ok("sk-1".to_owned()));
    tokio::time::timeout(PATIENCE, gone).await.expect("the grandchild is still running").unwrap().unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn grandchild_outside_the_group_keeps_running() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("held");
    let mut gone = released(&fifo);
    // The grandchild resembles the agent of a secret manager that keeps running for its user, but with the output still
    // open. It exits when it receives a word, and the shell continues once the grandchild has left the group.
    let [word, left] = ["word", "left"].map(|name| dir.path().join(name));
    assert!(Command::new("mkfifo").args([&word, &left]).status().unwrap().success());
    let agent = format!("echo > {}; exec cat {}", left.display(), word.display());
    let (left, fifo) = (left.display(), fifo.display());
    let script = format!("exec 9>{fifo}; setsid sh -c '{agent}' & exec 9>&-; read line < {left}; echo sk-1");
    assert_eq!(shell(&script).await, Ok("sk-1".to_owned()));
    assert!(gone.try_recv().is_err(), "it lives on");
    std::fs::write(&word, "").unwrap();
    tokio::time::timeout(PATIENCE, gone).await.expect("it has ended").unwrap().unwrap();
}
