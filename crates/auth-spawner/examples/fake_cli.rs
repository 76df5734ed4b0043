//! A scripted stand-in for a provider's CLI. Its language is described in `auth_spawner::testing`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_spawner::testing::{Step, parse};
use tokio::signal::unix::{SignalKind, signal};

/// How this program is called to be a grandchild.
const GRANDCHILD: &str = "--hold-output";

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == GRANDCHILD) {
        ignore("TERM")?;
        ignore("HUP")?;
        hang();
    }
    let script = match variable("FAKE_SCRIPT") {
        Some(script) => script,
        None if args.is_empty() => return Err(io::Error::other("no script")),
        None => args.remove(0),
    };
    let steps = parse(&std::fs::read_to_string(&script)?, &args.join(" ")).map_err(io::Error::other)?;
    let folder = Path::new(&script).parent().unwrap_or(Path::new("/")).to_owned();
    let mut fake = Fake { folder, dir: None, stdin: BufReader::new(io::stdin()) };
    for step in steps {
        if let Some(code) = fake.run(step)? {
            return Ok(ExitCode::from(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn variable(name: &str) -> Option<String> {
    std::env::vars().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

/// Takes the signal over from the system and then does nothing with it.
fn ignore(name: &str) -> io::Result<()> {
    let kind = match name {
        "TERM" => SignalKind::terminate(),
        "INT" => SignalKind::interrupt(),
        "HUP" => SignalKind::hangup(),
        _ => return Err(io::Error::other("unknown signal")),
    };
    signal(kind).map(drop)
}

struct Fake {
    folder: PathBuf,
    dir: Option<PathBuf>,
    stdin: BufReader<io::Stdin>,
}

impl Fake {
    fn run(&mut self, step: Step) -> io::Result<Option<u8>> {
        match step {
            Step::Print { text, error, line } => {
                let mut bytes = filled(&text).into_bytes();
                if line {
                    bytes.push(b'\n');
                }
                if error { print(io::stderr(), &bytes)? } else { print(io::stdout(), &bytes)? }
            }
            Step::Raw(bytes) => print(io::stdout(), &bytes)?,
            Step::Flood(bytes) => {
                let chunk = vec![b'x'; 64 * 1024];
                let mut left = bytes;
                while left > 0 {
                    let part = left.min(chunk.len());
                    print(io::stdout(), &chunk[..part])?;
                    left -= part;
                }
            }
            Step::Repeat(count, step) => {
                for _ in 0..count {
                    if let Some(code) = self.run((*step).clone())? {
                        return Ok(Some(code));
                    }
                }
            }
            Step::Sleep(time) => std::thread::sleep(Duration::from_millis(time)),
            Step::Hang => hang(),
            Step::WaitFile(path) => {
                while !self.folder.join(&path).exists() {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            Step::Touch(path) => save(&self.folder.join(path), b"")?,
            Step::Read(path) => {
                let mut line = Vec::new();
                self.stdin.read_until(b'\n', &mut line)?;
                save(&self.folder.join(path), &line)?;
            }
            Step::DirVar(name) => self.dir = variable(&name).map(PathBuf::from),
            Step::Write { path, text } => {
                let dir = self.dir.as_ref().ok_or_else(|| io::Error::other("no config directory"))?;
                save(&dir.join(path), filled(&text).as_bytes())?;
            }
            Step::Listen { port, path, status } => self.listen(port, &path, status)?,
            Step::DumpEnv(path) => {
                let mut lines: Vec<String> =
                    std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
                lines.sort();
                save(&self.folder.join(path), lines.concat().as_bytes())?;
            }
            Step::Grandchild { path, detach } => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(GRANDCHILD);
                if detach {
                    command.process_group(0);
                }
                let pid = command.spawn()?.id();
                save(&self.folder.join(path), pid.to_string().as_bytes())?;
            }
            Step::Ignore(name) => ignore(&name)?,
            Step::Exit(code) => return Ok(Some(u8::try_from(code).map_err(io::Error::other)?)),
        }
        Ok(None)
    }

    fn listen(&self, port: u16, path: &str, status: u16) -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        save(&self.folder.join(format!("{path}.ready")), b"")?;
        let (mut stream, _) = listener.accept()?;
        let mut lines = BufReader::new(stream.try_clone()?).take(16 * 1024);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        let mut rest = String::new();
        while lines.read_line(&mut rest)? > 2 {
            rest.clear();
        }
        let target = first.split_whitespace().nth(1).unwrap_or_default();
        save(&self.folder.join(path), target.as_bytes())?;
        write!(stream, "HTTP/1.1 {status} Fake\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }
}

fn print(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn filled(text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    text.replace("{now_us}", &now.to_string()).replace("{pid}", &std::process::id().to_string())
}

/// Writes a file whole or not at all, as a CLI does with its tokens.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let draft = path.with_extension("draft");
    let mut file =
        std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    std::fs::rename(draft, path)
}
