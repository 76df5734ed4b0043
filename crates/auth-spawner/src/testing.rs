//! The script language of the fake CLI (`examples/fake_cli.rs`), with which logins are tested.
//!
//! The fake CLI takes its script from the variable `FAKE_SCRIPT`, else from its first argument, and runs it
//! line by line. Empty lines and lines that begin with `#` are skipped. Relative paths, except for `write`,
//! are relative to the script's directory.
//!
//! | line | does |
//! |---|---|
//! | `when ARGS` | the lines below run only when the arguments, joined by spaces, are ARGS; `when *`: otherwise |
//! | `out TEXT`, `err TEXT` | prints a line |
//! | `outn TEXT`, `errn TEXT` | prints without a line feed |
//! | `raw TEXT` | prints bytes: `\n` `\r` `\t` `\e` `\\` and `\xHH` are understood |
//! | `flood BYTES` | prints that many `x` without a line feed |
//! | `repeat N LINE` | runs LINE that many times |
//! | `sleep MS`, `hang` | waits; waits for ever |
//! | `wait-file PATH`, `touch PATH` | waits until the file exists; makes it |
//! | `read PATH` | reads a line of standard input into the file |
//! | `dir-var NAME` | names the variable that holds the config directory for `write` |
//! | `write PATH TEXT` | writes a file below the config directory, mode 0600, whole or not at all |
//! | `listen PORT PATH [STATUS]` | answers one HTTP request on 127.0.0.1 and records its target in the file |
//! | `dump-env PATH` | records its whole environment, sorted, `NAME=VALUE` a line |
//! | `spawn-grandchild PATH [detach]` | starts a process that holds the output open and ignores TERM; its process id goes to the file; `detach`: in a group of its own |
//! | `ignore TERM`, `ignore INT`, `ignore HUP` | ignores the signal from here on |
//! | `exit CODE` | ends |
//!
//! In texts `{now_us}` stands for the time in unix microseconds and `{pid}` for the process id. A script that
//! ends without `exit` exits with 0.

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Prints text.
    Print {
        /// What.
        text: String,
        /// On standard error.
        error: bool,
        /// With a line feed.
        line: bool,
    },
    /// Prints bytes on standard output.
    Raw(Vec<u8>),
    /// Prints that many bytes without a line feed.
    Flood(usize),
    /// Runs a step several times.
    Repeat(usize, Box<Step>),
    /// Waits, in milliseconds.
    Sleep(u64),
    /// Waits for ever.
    Hang,
    /// Waits until a file exists.
    WaitFile(String),
    /// Makes an empty file.
    Touch(String),
    /// Reads a line of standard input into a file.
    Read(String),
    /// Names the variable that holds the config directory.
    DirVar(String),
    /// Writes a file below the config directory.
    Write {
        /// Relative path.
        path: String,
        /// Whole text.
        text: String,
    },
    /// Answers one HTTP request.
    Listen {
        /// Port on 127.0.0.1.
        port: u16,
        /// Where the request's target is recorded.
        path: String,
        /// Status of the answer.
        status: u16,
    },
    /// Records the environment.
    DumpEnv(String),
    /// Starts a process that holds the output open.
    Grandchild {
        /// Where its process id is recorded.
        path: String,
        /// In a process group of its own.
        detach: bool,
    },
    /// Ignores a signal, `TERM`, `INT` or `HUP`.
    Ignore(String),
    /// Ends.
    Exit(i32),
}

/// Reads the steps of a script that apply to these arguments (joined by spaces). `Err` names the line.
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
        "flood" => Step::Flood(rest.trim().parse().ok()?),
        "repeat" => {
            let (count, line) = rest.split_once(' ')?;
            Step::Repeat(count.parse().ok()?, Box::new(step(line)?))
        }
        "sleep" => Step::Sleep(rest.trim().parse().ok()?),
        "hang" => Step::Hang,
        "wait-file" => Step::WaitFile(text()),
        "touch" => Step::Touch(text()),
        "read" => Step::Read(text()),
        "dir-var" => Step::DirVar(text()),
        "write" => {
            let (path, text) = rest.split_once(' ')?;
            Step::Write { path: path.to_owned(), text: text.to_owned() }
        }
        "listen" => Step::Listen {
            port: parts.next()?.parse().ok()?,
            path: parts.next()?.to_owned(),
            status: parts.next().map_or(Ok(200), str::parse).ok()?,
        },
        "dump-env" => Step::DumpEnv(text()),
        "spawn-grandchild" => {
            Step::Grandchild { path: parts.next()?.to_owned(), detach: parts.next() == Some("detach") }
        }
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
    fn sections_and_escapes() {
        let script = "# a comment\ndir-var HOME_VAR\nwhen status\nexit 1\nwhen *\nraw a\\x41\\e\\n\nrepeat 2 out hi  there\n";
        let always = Step::DirVar("HOME_VAR".into());
        assert_eq!(parse(script, "status"), Ok(vec![always.clone(), Step::Exit(1)]));
        let hi = Step::Print { text: "hi  there".into(), error: false, line: true };
        let other = vec![always, Step::Raw(b"aA\x1b\n".to_vec()), Step::Repeat(2, Box::new(hi))];
        assert_eq!(parse(script, "login"), Ok(other));
        assert_eq!(parse("out x\nnonsense", ""), Err("line 2: nonsense".to_owned()));
    }
}
