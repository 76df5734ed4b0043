//! The sources of an export's passphrase: a hidden prompt, a private file, or standard input. It is never on the
//! command line, which every user of the machine can read.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::prompt;
use super::ui::Ui;
use crate::base::private;
use crate::hint::Step;

/// The shortest passphrase for a new export, in characters.
const SHORTEST: usize = 12;

/// The longest passphrase file that is read, in bytes.
const LONGEST: u64 = 4096;

/// The source of the passphrase, if not a prompt on the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct PassphraseArgs {
    /// Read the passphrase from the first line of this file, which only you may read
    #[arg(long, value_name = "PATH", conflicts_with = "passphrase_stdin")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase from the first line of standard input
    #[arg(long)]
    passphrase_stdin: bool,
}

/// Returns the passphrase for a new file. On a terminal it is asked for twice.
pub(super) async fn chosen(args: &PassphraseArgs, ui: &Ui) -> Result<SecretString, Failure> {
    let passphrase = given(args, ui).await?;
    if passphrase.expose_secret().chars().count() < SHORTEST {
        return Err(Failure::new(
            code::USAGE,
            format!("the passphrase has fewer than {SHORTEST} characters"),
        )
        .hint(Step::LongerPassphrase));
    }
    judge(passphrase.expose_secret())?;
    if asks(args, ui) {
        let again = line(ui, "Repeat the passphrase: ").await?;
        if again.expose_secret() != passphrase.expose_secret() {
            return Err(Failure::new(code::USAGE, "the two passphrases differ"));
        }
    }
    Ok(passphrase)
}

/// Returns the passphrase for an existing file.
pub(super) async fn given(args: &PassphraseArgs, ui: &Ui) -> Result<SecretString, Failure> {
    if let Some(path) = &args.passphrase_file {
        let unusable = |reason: &dyn std::fmt::Display| {
            Failure::new(code::IO, format!("the passphrase in {} cannot be used: {reason}", path.display()))
        };
        let bytes =
            private::read_file(path, LONGEST).map(Zeroizing::new).map_err(|error| unusable(&error))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| unusable(&"it is not UTF-8"))?;
        let first = text.lines().next().unwrap_or_default();
        return Some(first)
            .filter(|line| !line.is_empty())
            .map(SecretString::from)
            .ok_or_else(|| unusable(&"it is empty"));
    }
    if !args.passphrase_stdin && !ui.types {
        return Err(Failure::new(
            code::USAGE,
            "cannot ask for the passphrase: standard input is not a terminal",
        )
        .hint(Step::PassPassphrase));
    }
    line(ui, "Passphrase (not shown): ").await
}

/// Refuses a passphrase that a program for guessing finds soon: a common one, a pattern, a repetition.
fn judge(passphrase: &str) -> Result<(), Failure> {
    let judged = zxcvbn::zxcvbn(passphrase, &["srvd"]);
    if judged.score() >= zxcvbn::Score::Three {
        return Ok(());
    }
    let warning = judged.feedback().and_then(zxcvbn::feedback::Feedback::warning);
    let reason = warning.map(|warning| format!(": {warning}")).unwrap_or_default();
    let reason = reason.trim_end_matches('.');
    Err(Failure::new(code::USAGE, format!("the passphrase is easy to guess{reason}"))
        .hint(Step::BetterPassphrase))
}

fn asks(args: &PassphraseArgs, ui: &Ui) -> bool {
    ui.types && args.passphrase_file.is_none() && !args.passphrase_stdin
}

async fn line(ui: &Ui, question: &str) -> Result<SecretString, Failure> {
    let line = prompt::hidden(ui, question).await;
    line.filter(|line| !line.expose_secret().is_empty())
        .ok_or_else(|| Failure::new(code::USAGE, "no passphrase was given"))
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::ui;
    use super::*;

    #[tokio::test]
    async fn passphrase_is_read_from_a_file_and_refused_when_it_is_too_short() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let args = PassphraseArgs { passphrase_file: Some(path.clone()), passphrase_stdin: false };
        let check = async |content: &str, expect: Result<&str, &str>| {
            private::replace_file(&path, content.as_bytes()).unwrap();
            match (chosen(&args, &ui(Some(80))).await, expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found.expose_secret(), expect),
                (Err(failure), Err(part)) => assert!(failure.render().contains(part), "{}", failure.render()),
                (found, expect) => panic!("{found:?}, not {expect:?}"),
            }
        };
        check("correct horse battery\nsecond line\n", Ok("correct horse battery")).await;
        check("äöüäöüäöüäöü", Err("easy to guess")).await;
        check("password1234", Err("easy to guess")).await;
        check("qwertyuiop12", Err("easy to guess")).await;
        check("größe kälte brücke\n", Ok("größe kälte brücke")).await;
        check("too short\n", Err("fewer than 12")).await;
        check("\n", Err("it is empty")).await;
        std::fs::remove_file(&path).unwrap();
        assert_eq!(chosen(&args, &ui(None)).await.unwrap_err().code(), 74);
        let none = PassphraseArgs { passphrase_file: None, passphrase_stdin: false };
        assert_eq!(given(&none, &ui(None)).await.unwrap_err().code(), 64);
    }
}
