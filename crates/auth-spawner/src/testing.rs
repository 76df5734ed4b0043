//! The script language of the fake CLI (`examples/fake_cli.rs`), which is used to test logins.
//!
//! The fake CLI takes its script from the variable `FAKE_SCRIPT`, or else from its first argument, and runs it line by
//! line. Empty lines and lines starting with `#` are skipped. Relative paths are relative to the script's directory,
//! except for `write`.
//!
//! | line | does |
//! |---|---|
//! | `when ARGS` | the lines below run only if the arguments, joined by spaces, are ARGS; `when *`: otherwise |
//! | `out TEXT`, `err TEXT` | prints a line |
//! | `outn TEXT`, `errn TEXT` | prints without a line feed |
//! | `raw TEXT` | prints bytes, with the escapes `\n` `\r` `\t` `\e` `\\` and `\xHH` |
//! | `bytes TEXT` | prints bytes like `raw`, with a separate write for each byte |
//! | `flood BYTES [TEXT]` | prints that many bytes as fast as possible: `x`, or TEXT (as for `raw`) repeatedly |
//! | `repeat N LINE` | runs LINE that many times |
//! | `sleep MS`, `hang` | waits; waits forever |
//! | `wait-file PATH`, `touch PATH` | waits until the file exists; creates it |
//! | `read PATH` | reads a line of standard input into the file |
//! | `record PATH` | from here on, writes every byte of standard input to the file immediately, unmodified if it comes from a terminal; `read` no longer works |
//! | `close STREAM` | closes `stdin`, `stdout` or `stderr` |
//! | `dir-var NAME` | sets the variable that contains the config directory for `write` |
//! | `write PATH TEXT` | atomically writes a file below the config directory, with mode 0600 |
//! | `remove PATH` | removes a file below the config directory |
//! | `halves PATH GO TEXT` | writes half of a file below the config directory, and the rest once the file GO exists |
//! | `later MS LINE` | starts a process in a new group that waits and then runs LINE; the script continues immediately |
//! | `listen PORT PATH [STATUS]` | answers one HTTP request on 127.0.0.1 and records its target in the file |
//! | `listen6 PORT PATH [STATUS]` | does the same on `::1` |
//! | `dump-env PATH` | records the whole environment, sorted, with one `NAME=VALUE` per line |
//! | `spawn-grandchild PATH [HOW..]` | starts a process that holds the output open and ignores TERM, INT and HUP; its process id is written to the file once it is ready. HOW: `detach` in a new group, `session` in a new session, `orphan` in a new session after its parent has exited, `wipe` with an empty environment, `polite` exits on TERM |
//! | `fork-bomb N` | starts N processes that start each other, hold the output open and ignore TERM, half of them in new groups |
//! | `ignore TERM`, `ignore INT`, `ignore HUP` | ignores the signal from here on |
//! | `exit CODE` | exits with this code |
//!
//! In texts, `{now_us}` stands for the time in Unix microseconds and `{pid}` for the process id. A script that ends
//! without `exit` exits with 0.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Prints text.
    Print {
        /// The text to print.
        text: String,
        /// True to print on standard error.
        error: bool,
        /// True to add a line feed.
        line: bool,
    },
    /// Prints bytes on standard output.
    Raw(Vec<u8>),
    /// Prints bytes on standard output, one at a time.
    Bytes(Vec<u8>),
    /// Prints a text repeatedly.
    Flood {
        /// The number of bytes to print.
        bytes: u64,
        /// The text to repeat; never empty.
        text: Vec<u8>,
    },
    /// Runs a step several times.
    Repeat(usize, Box<Step>),
    /// Waits for this number of milliseconds.
    Sleep(u64),
    /// Waits forever.
    Hang,
    /// Waits until a file exists.
    WaitFile(String),
    /// Creates an empty file.
    Touch(String),
    /// Reads a line of standard input into a file.
    Read(String),
    /// Records standard input in a file.
    Record(String),
    /// Closes a standard stream, `stdin`, `stdout` or `stderr`.
    Close(String),
    /// Sets the variable that contains the config directory.
    DirVar(String),
    /// Writes a file below the config directory.
    Write {
        /// The relative path.
        path: String,
        /// The complete text.
        text: String,
    },
    /// Removes a file below the config directory.
    Remove(String),
    /// Writes a file below the config directory in two halves.
    Halves {
        /// The relative path.
        path: String,
        /// The file that the second half waits for.
        go: String,
        /// The complete text.
        text: String,
    },
    /// Runs a line in another process after a delay.
    Later {
        /// The delay in milliseconds.
        wait: u64,
        /// The line, in the syntax of [`parse`].
        line: String,
    },
    /// Answers one HTTP request.
    Listen {
        /// The loopback address and port.
        at: SocketAddr,
        /// The file in which the request target is recorded.
        path: String,
        /// The status of the response.
        status: u16,
    },
    /// Records the environment.
    DumpEnv(String),
    /// Starts a process that holds the output open.
    Grandchild {
        /// The file in which its process id is recorded.
        path: String,
        /// The differences from an ordinary child.
        how: Vec<How>,
    },
    /// Starts this number of processes that start each other.
    ForkBomb(usize),
    /// Ignores a signal, `TERM`, `INT` or `HUP`.
    Ignore(String),
    /// Exits with this code.
    Exit(i32),
}

/// A difference between a grandchild and an ordinary child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// In a new process group.
    Detach,
    /// In a new session, without a terminal.
    Session,
    /// In a new session, after its parent has exited.
    Orphan,
    /// With an empty environment.
    Wipe,
    /// Exits on TERM, INT and HUP.
    Polite,
}

impl How {
    /// Returns the word used in a script.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Detach => "detach",
            Self::Session => "session",
            Self::Orphan => "orphan",
            Self::Wipe => "wipe",
            Self::Polite => "polite",
        }
    }

    fn of(word: &str) -> Option<Self> {
        let all = [Self::Detach, Self::Session, Self::Orphan, Self::Wipe, Self::Polite];
        all.into_iter().find(|how| how.as_str() == word)
    }
}

/// Parses the steps of a script that apply to these arguments (joined by spaces).
///
/// # Errors
/// Returns the first line that is not part of the language, with its number.
pub fn parse(script: &str, args: &str) -> Result<Vec<Step>, String> {
    let sections: Vec<&str> = script.lines().filter_map(|line| line.trim().strip_prefix("when ")).collect();
    let wanted = if sections.iter().any(|section| section.trim() == args) { args } else { "*" };
    let mut applies = true;
    let mut steps = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix("when ") {
            applies = section.trim() == wanted;
            continue;
        }
        let step = step(line).ok_or_else(|| format!("line {}: {line}", number + 1))?;
        if applies {
            steps.push(step);
        }
    }
    Ok(steps)
}

fn step(line: &str) -> Option<Step> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let text = || rest.to_owned();
    let print = |error, line| Step::Print { text: text(), error, line };
    let mut parts = rest.split_whitespace();
    Some(match word {
        "out" => print(false, true),
        "outn" => print(false, false),
        "err" => print(true, true),
        "errn" => print(true, false),
        "raw" => Step::Raw(unescape(rest)?),
        "bytes" => Step::Bytes(unescape(rest)?),
        "flood" => {
            let (bytes, text) = rest.split_once(' ').unwrap_or((rest, "x"));
            Step::Flood { bytes: bytes.parse().ok()?, text: unescape(text).filter(|text| !text.is_empty())? }
        }
        "repeat" => {
            let (count, line) = rest.split_once(' ')?;
            Step::Repeat(count.parse().ok()?, Box::new(step(line)?))
        }
        "sleep" => Step::Sleep(rest.trim().parse().ok()?),
        "hang" => Step::Hang,
        "wait-file" => Step::WaitFile(text()),
        "touch" => Step::Touch(text()),
        "read" => Step::Read(text()),
        "record" => Step::Record(text()),
        "close" => Step::Close(text()),
        "dir-var" => Step::DirVar(text()),
        "write" => {
            let (path, text) = rest.split_once(' ')?;
            Step::Write { path: path.to_owned(), text: text.to_owned() }
        }
        "remove" => Step::Remove(text()),
        "halves" => {
            let (path, rest) = rest.split_once(' ')?;
            let (go, text) = rest.split_once(' ')?;
            Step::Halves { path: path.to_owned(), go: go.to_owned(), text: text.to_owned() }
        }
        "later" => {
            let (wait, line) = rest.split_once(' ')?;
            step(line)?;
            Step::Later { wait: wait.parse().ok()?, line: line.to_owned() }
        }
        "listen" | "listen6" => Step::Listen {
            at: SocketAddr::new(
                if word == "listen" { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() },
                parts.next()?.parse().ok()?,
            ),
            path: parts.next()?.to_owned(),
            status: parts.next().map_or(Ok(200), str::parse).ok()?,
        },
        "dump-env" => Step::DumpEnv(text()),
        "spawn-grandchild" => Step::Grandchild {
            path: parts.next()?.to_owned(),
            how: parts.map(How::of).collect::<Option<_>>()?,
        },
        "fork-bomb" => Step::ForkBomb(rest.trim().parse().ok()?),
        "ignore" => Step::Ignore(text()),
        "exit" => Step::Exit(rest.trim().parse().ok()?),
        _ => return None,
    })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes().iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'e' => 0x1b,
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_parser_selects_sections_and_decodes_escapes() {
        let script = "# a comment\ndir-var HOME_VAR\nwhen status\nexit 1\nwhen *\nraw a\\x41\\e\\n\nrepeat 2 out hi  there\n";
        let always = Step::DirVar("HOME_VAR".into());
        assert_eq!(parse(script, "status"), Ok(vec![always.clone(), Step::Exit(1)]));
        let hi = Step::Print { text: "hi  there".into(), error: false, line: true };
        let other = vec![always, Step::Raw(b"aA\x1b\n".to_vec()), Step::Repeat(2, Box::new(hi))];
        assert_eq!(parse(script, "login"), Ok(other));
        assert_eq!(parse("out x\nnonsense", ""), Err("line 2: nonsense".to_owned()));
    }

    #[test]
    fn script_parser_rejects_bad_step_arguments() {
        let grandchild = |how: &[How]| Step::Grandchild { path: "p".into(), how: how.to_vec() };
        let good = [
            ("flood 3", Step::Flood { bytes: 3, text: b"x".to_vec() }),
            ("flood 3 a\\n", Step::Flood { bytes: 3, text: b"a\n".to_vec() }),
            ("spawn-grandchild p", grandchild(&[])),
            ("spawn-grandchild p orphan wipe", grandchild(&[How::Orphan, How::Wipe])),
            ("later 5 exit 1", Step::Later { wait: 5, line: "exit 1".into() }),
            ("halves f go a b", Step::Halves { path: "f".into(), go: "go".into(), text: "a b".into() }),
        ];
        for (line, step) in good {
            assert_eq!(parse(line, ""), Ok(vec![step]), "{line}");
        }
        for line in ["flood 3 ", "flood x", "spawn-grandchild p orphaned", "later 5 nonsense", "halves f go"]
        {
            assert_eq!(parse(line, ""), Err(format!("line 1: {line}")));
        }
    }
}
