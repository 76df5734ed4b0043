//! Checks whether any pattern matches each raw line, and does nothing else. It is the peer of auth-spawner's example
//! `scan`, which removes escape sequences, joins what the terminal would show, and finds the meaning of a line. It
//! prints the processor time in nanoseconds.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use regex::bytes::RegexSetBuilder;

const TEXT: &[u8] = include_bytes!("../../text/cli.txt");

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let megabytes: usize = arguments.next().context("usage: peer-regexset MEGABYTES PATTERN..")?.parse()?;
    let set = RegexSetBuilder::new(arguments).unicode(false).build()?;
    ensure!(!set.is_empty(), "there is no pattern");
    let text = TEXT.repeat((1 << 20) / TEXT.len() + 1);
    let text = text.get(..1 << 20).context("the text is too short")?;
    let before = processor_time()?;
    for _ in 0..megabytes {
        let hits = text.split(|byte| *byte == b'\n').filter(|line| set.is_match(line)).count();
        std::hint::black_box(hits);
    }
    writeln!(std::io::stdout(), "{}", processor_time()? - before)?;
    Ok(())
}

/// Returns the processor time of this thread in nanoseconds. (The C library's call for it ends a program under
/// callgrind.)
fn processor_time() -> Result<i64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}
