//! Asks of each raw line whether any pattern is in it, and nothing else: the peer of auth-spawner's example `scan`, which
//! takes escape sequences out, joins what the terminal would show, and says what a line means.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use auth_spawner::Registry;
use regex::bytes::RegexSetBuilder;
use rustix::time::{ClockId, clock_gettime};

const TEXT: &[u8] = include_bytes!("../../text/cli.txt");

fn main() -> Result<()> {
    let megabytes: usize = std::env::args().nth(1).context("usage: peer-regexset MEGABYTES")?.parse()?;
    let registry = Registry::builtin()?;
    let recipe = registry.provider("claude").and_then(|provider| provider.recipe("login"));
    let patterns = &recipe.context("the registry has no such recipe")?.patterns;
    let single = [&patterns.url, &patterns.device_code, &patterns.prompt, &patterns.token];
    let several = [&patterns.logged_in, &patterns.denied, &patterns.refused, &patterns.retired];
    let all = single.into_iter().flatten().chain(several.into_iter().flatten());
    let set = RegexSetBuilder::new(all.map(|pattern| pattern.as_str())).unicode(false).build()?;
    let text = TEXT.repeat((1 << 20) / TEXT.len() + 1);
    let text = text.get(..1 << 20).context("the text is too short")?;
    let before = processor_time();
    for _ in 0..megabytes {
        let hits = text.split(|byte| *byte == b'\n').filter(|line| set.is_match(line)).count();
        ensure!(hits == 0, "the text means nothing to a login");
    }
    writeln!(std::io::stdout(), "{}", processor_time() - before)?;
    Ok(())
}

fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
