//! Reads so many megabytes of what CLIs print as a login does, and prints the nanoseconds of processor time that it took:
//! `scripts/bench.sh` runs it beside its peer.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for measuring")]

use auth_spawner::testing::hear;
use auth_spawner::{Patterns, Registry, SpawnLimits};
use rustix::time::{ClockId, clock_gettime};

const TEXT: &[u8] = include_bytes!("../../../bench/text/cli.txt");
/// As much as a session reads at a time when much is printed.
const CHUNK: usize = 64 * 1024;

fn main() {
    let registry = Registry::builtin().expect("the registry is compiled in");
    let provider = registry.provider("claude").expect("it has this provider");
    let recipe = provider.recipe("login").expect("which has this recipe");
    let argument = std::env::args().nth(1).expect("usage: scan patterns|MEGABYTES");
    if argument == "patterns" {
        return patterns(&recipe.patterns);
    }
    let megabytes: usize = argument.parse().expect("a number of megabytes");
    let limit = SpawnLimits::default().line_bytes;
    let text = TEXT.repeat((1 << 20) / TEXT.len() + 1);
    let before = processor_time();
    for _ in 0..megabytes {
        let heard = hear(provider, recipe, limit, text[..1 << 20].chunks(CHUNK));
        assert_eq!(heard, 0, "the text means nothing to a login");
    }
    println!("{}", processor_time() - before);
}

/// What is looked for, one on a line.
fn patterns(patterns: &Patterns) {
    let single = [&patterns.url, &patterns.device_code, &patterns.prompt, &patterns.token];
    let several = [&patterns.logged_in, &patterns.denied, &patterns.refused, &patterns.retired];
    for pattern in single.into_iter().flatten().chain(several.into_iter().flatten()) {
        println!("{}", pattern.as_str());
    }
}

fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
