//! A scripted stand-in for a provider's CLI. `auth_spawner::testing` documents its script language.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth_spawner::testing::{How, Step, parse};
use filedescriptor::{FileDescriptor, StdioDescriptor};
use rustix::termios::{InputModes, LocalModes, OptionalActions};
use tokio::signal::unix::{SignalKind, signal};

/// The first argument of a grandchild. It is followed by the file for its process id and by its options.
const GRANDCHILD: &str = "--hold-output";
/// The first argument of a process that starts a grandchild and then exits. The grandchild's arguments follow.
const GO_BETWEEN: &str = "--go-between";
/// The first argument of a part of a fork bomb. It is followed by the number of processes in this part.
const BOMB: &str = "--bomb";
/// The first argument of a process that runs one line later. It is followed by the script, the milliseconds and the
/// line.
const LATER: &str = "--later";
/// The number of bytes per write of a flood.
const BLOCK: usize = 64 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<ExitCode> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = args.iter().map(String::as_str).collect();
    match texts[..] {
        [GRANDCHILD, path, ref how @ ..] => hold_output(Path::new(path), how),
        [GO_BETWEEN, ref rest @ ..] => {
            again()?.arg(GRANDCHILD).args(rest).spawn()?;
            return Ok(ExitCode::SUCCESS);
        }
        [BOMB, count] => bomb(count.parse().map_err(io::Error::other)?),
        [LATER, script, wait, line] => {
            std::thread::sleep(Duration::from_millis(wait.parse().map_err(io::Error::other)?));
            return run(Path::new(script), parse(line, ""));
        }
        _ => {}
    }
    let script = match variable("FAKE_SCRIPT") {
        Some(script) => script,
        None if args.is_empty() => return Err(io::Error::other("no script")),
        None => args.remove(0),
    };
    let steps = parse(&std::fs::read_to_string(&script)?, &args.join(" "));
    run(Path::new(&script), steps)
}

fn run(script: &Path, steps: Result<Vec<Step>, String>) -> io::Result<ExitCode> {
    let dir = variable("FAKE_HOME").map(PathBuf::from);
    let mut fake = Fake { script: script.to_owned(), dir, stdin: BufReader::new(io::stdin()) };
    for step in steps.map_err(io::Error::other)? {
        if let Some(code) = fake.run(step)? {
            return Ok(ExitCode::from(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn variable(name: &str) -> Option<String> {
    std::env::vars().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// Returns a command that runs this program again.
fn again() -> io::Result<Command> {
    std::env::current_exe().map(Command::new)
}

fn hang() -> ! {
    loop {
        std::thread::sleep(Duration::from_hours(1));
    }
}

fn hold_output(path: &Path, how: &[&str]) -> ! {
    let is = |wanted: How| how.contains(&wanted.as_str());
    if is(How::Session) || is(How::Orphan) {
        let _ = rustix::process::setsid();
    }
    if !is(How::Polite) {
        ignore_all();
    }
    let _ = save(path, std::process::id().to_string().as_bytes());
    hang()
}

/// Runs one process of a bomb of `count` processes: itself, and two halves of the remaining ones.
fn bomb(count: usize) -> ! {
    ignore_all();
    let rest = count.saturating_sub(1);
    for (number, part) in [rest / 2, rest - rest / 2].into_iter().enumerate() {
        if part == 0 {
            continue;
        }
        if let Ok(mut command) = again() {
            command.arg(BOMB).arg(part.to_string());
            if number == 0 {
                command.process_group(0);
            }
            // A process that has been killed in the meantime cannot start another one, and no process is left to report it
            // to.
            let _ = command.spawn();
        }
    }
    hang()
}

fn ignore_all() {
    for name in ["TERM", "INT", "HUP"] {
        let _ = ignore(name);
    }
}

/// Replaces the default handling of the signal, then ignores the signal.
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
    script: PathBuf,
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
            Step::Bytes(bytes) => bytes.chunks(1).try_for_each(|byte| print(io::stdout(), byte))?,
            Step::Flood { bytes, text } => flood(bytes, &text)?,
            Step::Repeat(count, step) => {
                for _ in 0..count {
                    if let Some(code) = self.run((*step).clone())? {
                        return Ok(Some(code));
                    }
                }
            }
            Step::Sleep(time) => std::thread::sleep(Duration::from_millis(time)),
            Step::Hang => hang(),
            Step::WaitFile(path) => wait_for(&self.beside(&path)),
            Step::Touch(path) => save(&self.beside(&path), b"")?,
            Step::Read(path) => {
                let mut line = Vec::new();
                self.stdin.read_until(b'\n', &mut line)?;
                save(&self.beside(&path), &line)?;
            }
            Step::Record(path) => record(&self.beside(&path))?,
            Step::Close(stream) => close(&stream)?,
            Step::DirVar(name) => self.dir = variable(&name).map(PathBuf::from),
            Step::Write { path, text } => save(&self.inside(&path)?, filled(&text).as_bytes())?,
            Step::Remove(path) => std::fs::remove_file(self.inside(&path)?)?,
            Step::Halves { path, go, text } => {
                let text = filled(&text);
                let (first, second) = text.as_bytes().split_at(text.len() / 2);
                let mut file = private_file(&self.inside(&path)?)?;
                file.write_all(first)?;
                save(&self.beside(&format!("{go}.half")), b"")?;
                wait_for(&self.beside(&go));
                file.write_all(second)?;
            }
            Step::Later { wait, line } => {
                let mut command = again()?;
                command.arg(LATER).arg(&self.script).arg(wait.to_string()).arg(line);
                // Without its own group, it would be killed together with this program, like every process in the
                // foreground of a terminal.
                command.process_group(0).spawn()?;
            }
            Step::Listen { at, path, status } => self.listen(at, &path, status)?,
            Step::DumpEnv(path) => {
                let mut lines: Vec<String> =
                    std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect();
                lines.sort();
                save(&self.beside(&path), lines.concat().as_bytes())?;
            }
            Step::Grandchild { path, how } => self.grandchild(&path, &how)?,
            Step::ForkBomb(count) => {
                again()?.arg(BOMB).arg(count.to_string()).spawn()?;
            }
            Step::Ignore(name) => ignore(&name)?,
            Step::Exit(code) => return Ok(Some(u8::try_from(code).map_err(io::Error::other)?)),
        }
        Ok(None)
    }

    /// A path in the script's directory.
    fn beside(&self, path: &str) -> PathBuf {
        self.script.parent().unwrap_or(Path::new("/")).join(path)
    }

    /// A path in the config directory.
    fn inside(&self, path: &str) -> io::Result<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(path)).ok_or_else(|| io::Error::other("no config directory"))
    }

    fn grandchild(&self, path: &str, how: &[How]) -> io::Result<()> {
        // The file may be from an earlier run, whose grandchild is not the one the test is waiting for.
        let _ = std::fs::remove_file(self.beside(path));
        let orphan = how.contains(&How::Orphan);
        let mut command = again()?;
        command.arg(if orphan { GO_BETWEEN } else { GRANDCHILD }).arg(self.beside(path));
        command.args(how.iter().map(|how| how.as_str()));
        if how.contains(&How::Detach) {
            command.process_group(0);
        }
        if how.contains(&How::Wipe) {
            command.env_clear();
        }
        let mut child = command.spawn()?;
        if orphan {
            child.wait()?;
        }
        wait_for(&self.beside(path));
        Ok(())
    }

    fn listen(&self, at: SocketAddr, path: &str, status: u16) -> io::Result<()> {
        let listener = TcpListener::bind(at)?;
        save(&self.beside(&format!("{path}.ready")), b"")?;
        let (mut stream, _) = listener.accept()?;
        let mut lines = BufReader::new(stream.try_clone()?).take(16 * 1024);
        let mut first = String::new();
        lines.read_line(&mut first)?;
        let mut rest = String::new();
        while lines.read_line(&mut rest)? > 2 {
            rest.clear();
        }
        let target = first.split_whitespace().nth(1).unwrap_or_default();
        save(&self.beside(path), target.as_bytes())?;
        write!(stream, "HTTP/1.1 {status} Fake\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    }
}

fn print(mut stream: impl Write, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes)?;
    stream.flush()
}

fn flood(bytes: u64, text: &[u8]) -> io::Result<()> {
    let block = text.repeat((BLOCK / text.len()).max(1));
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        print(io::stdout(), &block[..part])?;
        left -= part as u64;
    }
    Ok(())
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Copies standard input to a file, in a separate thread that ends with the program.
fn record(path: &Path) -> io::Result<()> {
    let mut stdin = io::stdin();
    if let Ok(mut modes) = rustix::termios::tcgetattr(&stdin) {
        // Otherwise the terminal would hold back each line until it is complete, and would consume control characters.
        modes.local_modes -= LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN | LocalModes::ECHO;
        modes.input_modes -= InputModes::ICRNL | InputModes::IXON;
        rustix::termios::tcsetattr(&stdin, OptionalActions::Now, &modes)?;
    }
    let mut file = private_file(path)?;
    std::thread::spawn(move || io::copy(&mut stdin, &mut file));
    Ok(())
}

fn close(stream: &str) -> io::Result<()> {
    let stream = match stream {
        "stdin" => StdioDescriptor::Stdin,
        "stdout" => StdioDescriptor::Stdout,
        "stderr" => StdioDescriptor::Stderr,
        _ => return Err(io::Error::other("unknown stream")),
    };
    let nothing = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    // The previous descriptor is returned and closed here.
    FileDescriptor::redirect_stdio(&nothing, stream).map(drop).map_err(io::Error::other)
}

fn filled(text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    text.replace("{now_us}", &now.to_string()).replace("{pid}", &std::process::id().to_string())
}

/// Writes a file atomically, as a CLI does with its tokens.
fn save(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    private_file(&draft)?.write_all(bytes)?;
    std::fs::rename(draft, path)
}

fn private_file(path: &Path) -> io::Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)
}
