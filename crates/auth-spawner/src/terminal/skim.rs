//! Skips the many lines without meaning, with one search in all of them.

use std::sync::Arc;

use memchr::{memchr, memrchr};
use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_syntax::ParserBuilder;

/// Most memory for the compiled patterns and for the cache of their search, in bytes.
const BYTES: usize = 1 << 22;

/// A search for the lines of a block that one of many patterns may match. Clones share the compiled patterns and their
/// cache.
#[derive(Clone)]
pub(crate) struct Skim {
    any: Arc<Regex>,
    reach: Reach,
}

/// The number of lines that a pattern may cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// One line.
    Line,
    /// Two lines together.
    Neighbours,
}

impl Skim {
    /// Creates the search. Returns `None` if the patterns are too big together, or if one matches the beginning or the
    /// end of a whole text, which a block hides.
    pub(crate) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>, reach: Reach) -> Option<Self> {
        let patterns: Vec<&str> = patterns.into_iter().collect();
        let parse = |text: &&str| {
            let mut parser = ParserBuilder::new().unicode(false).utf8(false).multi_line(true).build();
            parser.parse(text).is_ok_and(|found| !found.properties().look_set().contains_anchor_haystack())
        };
        if !patterns.iter().all(parse) {
            return None;
        }
        let config = Config::new()
            .utf8_empty(false)
            .which_captures(WhichCaptures::Implicit)
            .nfa_size_limit(Some(BYTES))
            .hybrid_cache_capacity(BYTES);
        // In a block each line begins and ends at a line feed.
        let syntax = syntax::Config::new().unicode(false).utf8(false).multi_line(true);
        Regex::builder()
            .configure(config)
            .syntax(syntax)
            .build_many(&patterns)
            .ok()
            .map(|regex| Self { any: Arc::new(regex), reach })
    }

    /// Passes on, in order, each line of the block that may matter: each line that a pattern matches and, if some
    /// patterns cover two lines, the lines before and after it. In that case the first and the last line are always
    /// passed on, because their neighbours are in other blocks. Each line of the block has its line feed, and none is
    /// empty. An empty line is passed on in the place of skipped lines, so that the lines beside them do not count as
    /// neighbours.
    pub(crate) fn read(&self, block: &[u8], tell: &mut dyn FnMut(&[u8])) {
        let (first, last) = match self.reach {
            Reach::Line => (0, block.len()),
            Reach::Neighbours => (line_end(block, 0), line_start(block, block.len().saturating_sub(1))),
        };
        let mut told = told_from(block, 0, 0, first, tell);
        let mut from = 0;
        while let Some(found) = self.any.find(&block[from..]) {
            let start = line_start(block, from + found.start());
            let end = line_end(block, line_start(block, from + found.end()));
            let (before, behind) = match self.reach {
                Reach::Line => (start, end),
                Reach::Neighbours => (line_start(block, start.saturating_sub(1)), line_end(block, end)),
            };
            told = told_from(block, told, before, behind, tell).max(told);
            from = end;
            if from >= block.len() {
                break;
            }
        }
        told_from(block, told, last, block.len(), tell);
    }
}

/// Passes on the lines from `start` to `end` that are not before `told`. Returns `end`.
fn told_from(block: &[u8], told: usize, start: usize, end: usize, tell: &mut dyn FnMut(&[u8])) -> usize {
    if start > told {
        tell(b"");
    }
    let lines = block.get(start.max(told)..end).unwrap_or_default().split_inclusive(|byte| *byte == b'\n');
    lines.for_each(|line| tell(line.strip_suffix(b"\n").unwrap_or(line)));
    end
}

/// Returns the beginning of the line that holds this position. A position after a line feed is on the next line.
fn line_start(block: &[u8], position: usize) -> usize {
    memrchr(b'\n', &block[..position.min(block.len())]).map_or(0, |at| at + 1)
}

/// Returns the beginning of the line after this position.
fn line_end(block: &[u8], position: usize) -> usize {
    let rest = block.get(position..).unwrap_or_default();
    memchr(b'\n', rest).map_or(block.len(), |at| position + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reach: Reach, patterns: &[&str], block: &str) -> Vec<String> {
        let mut told = Vec::new();
        let mut tell = |line: &[u8]| told.push(String::from_utf8(line.to_vec()).unwrap());
        Skim::new(patterns.iter().copied(), reach).unwrap().read(block.as_bytes(), &mut tell);
        told
    }

    #[test]
    fn skim_by_neighbours_keeps_relevant_lines_once_and_in_order() {
        let check = |patterns: &[&str], block: &str, expected: &[&str]| {
            let told = read(Reach::Neighbours, patterns, &block.replace(' ', "\n"));
            assert_eq!(told, expected, "{patterns:?} in {block:?}");
        };
        check(&["x"], "", &[]);
        check(&["(?i)error|fail|not "], "a b it-is-an-error c d ", &["a", "b", "it-is-an-error", "c", "d"]);
        check(&["x"], "a ", &["a"]);
        check(&["x"], "a b ", &["a", "b"]);
        check(&["x"], "a b c d ", &["a", "", "d"]);
        check(&["c"], "a b c d e f ", &["a", "b", "c", "d", "", "f"]);
        check(&["a"], "a b c d ", &["a", "b", "", "d"]);
        check(&["d"], "a b c d ", &["a", "", "c", "d"]);
        check(&["c", "d"], "a b c d e f g ", &["a", "b", "c", "d", "e", "", "g"]);
        check(&["b", "f"], "a b c d e f g h i ", &["a", "b", "c", "", "e", "f", "g", "", "i"]);
        check(&["^c$"], "a cc b c d e f ", &["a", "", "b", "c", "d", "", "f"]);
        check(&["c\\nd"], "a b c d e f g ", &["a", "b", "c", "d", "e", "", "g"]);
        check(&["b\\s"], "a b c d e ", &["a", "b", "c", "d", "e"]);
        check(&["."], "a b c ", &["a", "b", "c"]);
        check(&[""], "a b c ", &["a", "b", "c"]);
    }

    #[test]
    fn skim_by_line_keeps_only_matching_lines() {
        let check = |patterns: &[&str], block: &str, expected: &[&str]| {
            let told = read(Reach::Line, patterns, &block.replace(' ', "\n"));
            assert_eq!(told, expected, "{patterns:?} in {block:?}");
        };
        check(&["x"], "", &[]);
        check(&["x"], "a ", &[""]);
        check(&["x"], "a b c ", &[""]);
        check(&["a"], "a b c ", &["a", ""]);
        check(&["b"], "a b c ", &["", "b", ""]);
        check(&["c"], "a b c ", &["", "c"]);
        check(&["b", "c", "e"], "a b c d e ", &["", "b", "c", "", "e"]);
        check(&["b\\nc", "c"], "a b c d ", &["", "b", "c", ""]);
        check(&["."], "a b ", &["a", "b"]);
    }

    #[test]
    fn skim_is_refused_when_a_pattern_is_invalid_or_anchors_to_the_whole_text() {
        let check = |pattern: &str, can: bool| {
            assert_eq!(Skim::new([pattern], Reach::Line).is_some(), can, "{pattern}");
        };
        check("^a$", true);
        check("(?P<code>a)", true);
        check(r"\Aa", false);
        check(r"a\z", false);
        check("(?-m)^a", false);
        check("(", false);
    }
}
