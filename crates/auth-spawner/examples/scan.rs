//! Reads a given number of megabytes of CLI output as one login does, with the patterns compiled once, and prints the
//! processor time in nanoseconds. `scripts/bench.sh` runs it beside its peer.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a program for measuring")]

use auth_spawner::testing::{hear, questions};
use auth_spawner::{Registry, SpawnLimits};

const TEXT: &[u8] = include_bytes!("../../../bench/text/cli.txt");
/// Bytes that a session reads at a time when a CLI prints much.
const CHUNK: usize = 64 * 1024;

fn main() {
    let registry = Registry::builtin().expect("the registry is compiled in");
    let provider = registry.provider("claude").expect("it has this provider");
    let recipe = &provider.recipe("login", None).expect("which has this recipe");
    let argument = std::env::args().nth(1).expect("usage: scan patterns|MEGABYTES");
    if argument == "patterns" {
        return questions(recipe).for_each(|question| println!("{question}"));
    }
    let megabytes: usize = argument.parse().expect("a number of megabytes");
    let limit = SpawnLimits::default().line_bytes;
    let text = TEXT.repeat((1 << 20) / TEXT.len() + 1);
    let chunks = (0..megabytes).flat_map(|_| text[..1 << 20].chunks(CHUNK));
    let before = processor_time();
    let heard = hear(provider, recipe, limit, chunks);
    assert_eq!(heard, 0, "the text means nothing to a login");
    println!("{}", processor_time() - before);
}

/// Returns the processor time of this thread in nanoseconds.
fn processor_time() -> i64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    stat.split(' ').next().and_then(|time| time.parse().ok()).expect("its first number")
}
