//! The output streams of a child. They are read as data arrives and are never left unread.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::matcher::{Completeness, Finding, Matcher};
use crate::registry::Pattern;
use crate::terminal::{Line, View};

/// Size of a read buffer at first, and again when little is printed.
const SMALL: usize = 4 * 1024;
/// Size up to which the buffer grows while reads fill it.
const LARGE: usize = 64 * 1024;
/// Time after which unchanged unfinished text counts as whole, even while other rows are drawn.
pub(crate) const SETTLED: Duration = Duration::from_secs(1);

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// All output streams of one child.
pub(crate) struct Output {
    streams: Vec<Stream>,
    /// Counter that selects the stream to poll first, so that a flood on one cannot block the other.
    turn: usize,
    /// Bytes read since the last yield to other tasks.
    unbroken: usize,
}

struct Stream {
    reader: Option<Reader>,
    buffer: Vec<u8>,
    view: View,
    search: Search,
    unfinished: Option<UnfinishedLine>,
}

/// A search for the meaning of a stream's lines.
struct Search {
    matcher: Matcher,
    /// True once the prompt of the current line has been reported.
    prompted: bool,
}

/// The unfinished text at the last look.
struct UnfinishedLine {
    line: Line,
    since: Instant,
    settled: bool,
}

/// The result of a look at the output.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<Finding>,
    /// The last whole line that may explain a failure.
    pub(crate) explanation: Option<String>,
}

impl Output {
    /// Creates the output. Each stream has its own view and its own matcher.
    pub(crate) fn new(readers: Vec<Reader>, view: impl Fn() -> View, matcher: impl Fn() -> Matcher) -> Self {
        let stream = |reader| Stream {
            reader: Some(reader),
            buffer: vec![0; SMALL],
            view: view(),
            search: Search { matcher: matcher(), prompted: false },
            unfinished: None,
        };
        Self { streams: readers.into_iter().map(stream).collect(), turn: 0, unbroken: 0 }
    }

    /// Returns whether every stream has ended.
    pub(crate) fn ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.reader.is_none())
    }

    /// Returns whether there is text without a final reading: an unfinished line, or rows that may still be drawn.
    pub(crate) fn has_partial(&self) -> bool {
        self.streams.iter().any(|stream| stream.view.has_unread())
    }

    /// Waits for the next chunk of any stream and returns its meaning. Never ends once all streams have ended.
    /// Cancelling the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Findings {
        // Reading a flood takes time, and the runtime would allow many reads before it runs other tasks.
        if self.unbroken >= LARGE {
            tokio::task::yield_now().await;
            self.unbroken = 0;
        }
        let count = self.streams.len();
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn;
        let streams = &mut self.streams;
        let (position, length) = std::future::poll_fn(|context| {
            for offset in 0..count {
                let position = turn.wrapping_add(offset) % count;
                let stream = &mut streams[position];
                let Some(reader) = &mut stream.reader else { continue };
                let mut buffer = ReadBuf::new(&mut stream.buffer);
                match Pin::new(reader).poll_read(context, &mut buffer) {
                    Poll::Ready(Ok(())) => return Poll::Ready((position, buffer.filled().len())),
                    // A stream that can no longer be read has no more data.
                    Poll::Ready(Err(_)) => return Poll::Ready((position, 0)),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await;
        self.unbroken += length;
        self.streams[position].take(length)
    }

    /// Returns the meaning of the unfinished lines and of drawn rows, after they have been still for a while or have
    /// waited for long enough.
    pub(crate) fn still(&mut self, completeness: Completeness) -> Findings {
        let mut findings = Findings::default();
        for stream in &mut self.streams {
            stream.still(completeness, &mut findings);
        }
        findings
    }

    /// Ends the current lines, as the Enter key does on a screen. The output after an answer is a new line, and a
    /// prompt in it is a new prompt.
    pub(crate) fn break_lines(&mut self) {
        for stream in &mut self.streams {
            stream.view.break_line();
            stream.search.prompted = false;
            stream.unfinished = None;
        }
    }

    /// Takes the next answer to a question that the child has asked its terminal.
    pub(crate) fn reply(&mut self) -> Option<String> {
        self.streams.iter_mut().find_map(|stream| stream.view.reply())
    }
}

impl Stream {
    fn take(&mut self, length: usize) -> Findings {
        let mut findings = Findings::default();
        let Self { view, search, buffer, .. } = self;
        let mut whole = |line: &Line| {
            search.read(line, Completeness::Whole, &mut findings);
            search.prompted = false;
        };
        if length == 0 {
            self.reader = None;
            view.finish(&mut whole);
        } else {
            view.feed(&buffer[..length], &mut whole);
            resize(buffer, length);
        }
        if !self.search.prompted
            && self.search.matcher.has_prompt()
            && self.view.touched()
            && let Some(line) = self.view.partial().filter(|line| self.search.matcher.is_prompt(&line.text))
        {
            self.search.read(&line, Completeness::Partial, &mut findings);
        }
        findings
    }

    fn still(&mut self, completeness: Completeness, findings: &mut Findings) {
        // The prompt of the current line stays reported, because these are other rows.
        self.view.settle(&mut |line| self.search.read(line, Completeness::Whole, findings));
        let Some(line) = self.view.partial() else {
            self.unfinished = None;
            return;
        };
        let now = Instant::now();
        let known = self.unfinished.take().filter(|unfinished| unfinished.line == line);
        let mut unfinished = known.unwrap_or(UnfinishedLine { line, since: now, settled: false });
        let old = !unfinished.settled && now.duration_since(unfinished.since) >= SETTLED;
        let completeness = if old { Completeness::Settled } else { completeness };
        unfinished.settled |= completeness == Completeness::Settled;
        self.search.read(&unfinished.line, completeness, findings);
        self.unfinished = Some(unfinished);
    }
}

/// Grows a buffer that a read has filled, and shrinks one that is mostly empty.
fn resize(buffer: &mut Vec<u8>, length: usize) {
    let size = buffer.len();
    if length == size && size < LARGE {
        buffer.resize(size * 2, 0);
    } else if length < size / 4 && size > SMALL {
        buffer.truncate(size / 2);
        buffer.shrink_to_fit();
    }
}

impl Search {
    fn read(&mut self, line: &Line, completeness: Completeness, findings: &mut Findings) {
        for finding in self.matcher.read(line, completeness) {
            if finding == Finding::Prompt && std::mem::replace(&mut self.prompted, true) {
                continue;
            }
            findings.found.push(finding);
        }
        if completeness == Completeness::Whole && explains(&line.text) {
            findings.explanation.get_or_insert_default().clone_from(&line.text);
        }
    }
}

const EXPLAINING: &str = "(?i)error|fail|couldn't|could not|cannot|unable|denied|refused|invalid|not ";

static EXPLAINS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Pattern::try_from(EXPLAINING.to_owned()).ok()?.regex().cloned());

/// Returns whether a line may explain a failed login. Other lines are not kept, because some CLIs print tokens.
fn explains(text: &str) -> bool {
    EXPLAINS.as_ref().is_some_and(|words| words.is_match(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::{Provider, Recipe, Registry, Terminal};

    /// Returns everything that a login of `recipe` learns when its CLI prints this on a pipe, however the bytes are cut.
    fn hear<'a>(
        provider: &Provider,
        recipe: &Recipe,
        limit: usize,
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Findings {
        let mut view = View::new(Terminal::Pipe, limit);
        let mut search = Search { matcher: Matcher::new(provider, recipe), prompted: false };
        let mut findings = Findings::default();
        for chunk in chunks {
            view.feed(chunk, &mut |line| search.read(line, Completeness::Whole, &mut findings));
        }
        view.finish(&mut |line| search.read(line, Completeness::Whole, &mut findings));
        findings
    }

    fn output(reader: Reader) -> Output {
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider("claude").unwrap();
        let matcher = Matcher::new(provider, &provider.recipe("login", None).unwrap());
        Output::new(vec![reader], || View::new(Terminal::WIDE, 8192), || matcher.clone())
    }

    #[tokio::test]
    async fn buffer_grows_with_large_chunks_and_shrinks_after_small_ones() {
        let (mut child, reader) = duplex(LARGE);
        let mut output = output(Box::new(reader));
        let mut sizes = Vec::new();
        for chunk in [SMALL, 2 * SMALL, 4 * SMALL, 8 * SMALL, LARGE, 3, LARGE / 2, 3, 3, 3, 3, 3] {
            sizes.push(output.streams[0].buffer.len() / SMALL);
            child.write_all(&vec![b'x'; chunk]).await.unwrap();
            output.next().await;
        }
        assert_eq!(sizes, [1, 2, 4, 8, 16, 16, 8, 16, 8, 4, 2, 1]);
    }

    /// The cursor stays on an address without a line feed, and another row changes all the time.
    #[tokio::test(start_paused = true)]
    async fn output_reports_unfinished_row_once_when_only_another_row_changes() {
        const ADDRESS: &str = "https://claude.com/cai/oauth/authorize?state=s";
        let (mut child, reader) = duplex(LARGE);
        let mut output = output(Box::new(reader));
        child.write_all(format!("\x1b[3;1H{ADDRESS}").as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        for turn in 0..10 {
            child.write_all(format!("\x1b7\x1b[1;1H{turn}\x1b8").as_bytes()).await.unwrap();
            heard.push(output.next().await.found.len());
            tokio::time::advance(Duration::from_millis(400)).await;
            heard.push(output.still(Completeness::Partial).found.len());
        }
        // The address is reported once, when it has been the same for a second: first seen at 400 ms, so not yet at
        // 1200 but at 1600.
        let expected: Vec<usize> = (0..20).map(|look| usize::from(look == 7)).collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn output_reports_the_same_when_the_stream_is_cut_anywhere() {
        let registry = Registry::builtin().unwrap();
        let recipes: Vec<_> = registry
            .iter()
            .flat_map(|provider| {
                provider.cli.iter().flat_map(|cli| &cli.recipes).map(move |each| (provider.as_ref(), each))
            })
            .collect();
        let read = |index: usize, chunks: &[&[u8]]| {
            let (provider, recipe) = recipes[index];
            let findings = hear(provider, recipe, 200, chunks.iter().copied());
            (findings.found, findings.explanation)
        };
        let texts = prop::collection::vec(prop_oneof![piece(), piece(), any_bytes()], 0..30);
        let strategy = (0..recipes.len(), texts, any::<prop::sample::Index>());
        proptest!(ProptestConfig::with_cases(300), |((index, pieces, cut) in strategy)| {
            let bytes = pieces.concat();
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read(index, &[first, second]), read(index, &single));
        });
    }

    #[test]
    fn output_reports_prompt_again_after_other_lines() {
        const PROMPT: &[u8] = b"Paste code here if prompted > ";
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider("claude").unwrap();
        let recipe = &provider.recipe("login", None).unwrap();
        let chunks = [PROMPT, b" ", b"\r\x1b[K\na plain line\n", PROMPT];
        let heard = live(provider, recipe, &chunks);
        let seen: Vec<_> = heard.into_iter().map(|(seen, _)| seen).collect();
        assert_eq!(seen, [vec![Finding::Prompt], vec![], vec![], vec![Finding::Prompt], vec![]]);
    }

    #[test]
    fn output_reports_device_code_when_announcement_is_in_earlier_chunk() {
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider("codex").unwrap();
        let recipe = &provider.recipe("device-auth", None).unwrap();
        let chunks: [&[u8]; 2] = [b"a line\nEnter this one-time code\n", b"ABCD-12345\na line\n"];
        let heard = live(provider, recipe, &chunks);
        let seen: Vec<_> = heard.into_iter().flat_map(|(seen, _)| seen).collect();
        assert_eq!(seen, [Finding::DeviceCode("ABCD-12345".to_owned())]);
    }

    /// Returns the meaning that a session gets at each chunk, and at the end.
    fn live(provider: &Provider, recipe: &Recipe, chunks: &[&[u8]]) -> Vec<(Vec<Finding>, Option<String>)> {
        let mut stream = Stream {
            reader: None,
            buffer: Vec::new(),
            view: View::new(Terminal::Pipe, 200),
            search: Search { matcher: Matcher::new(provider, recipe), prompted: false },
            unfinished: None,
        };
        let chunks = chunks.iter().copied().filter(|chunk| !chunk.is_empty()).chain([&[][..]]);
        let take = |chunk: &[u8]| {
            stream.buffer = chunk.to_vec();
            let findings = stream.take(chunk.len());
            (findings.found, findings.explanation)
        };
        chunks.map(take).collect()
    }

    /// Output of real CLIs, whole and in parts.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec())
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..6)
    }

    const PIECES: &[&str] = &[
        "\n",
        "\r\n",
        "\n\n   \n",
        "\x1b[1;32m",
        "\x1b[0m\n",
        "\x1b[2K\r",
        "\r\x1b[K",
        "\x1b[2K\r\x1b[36m\u{280b}\x1b[0m Waiting for the browser...",
        "\u{2713} ",
        "\t",
        "a plain line\n",
        "another one, of the usual kind\n",
        "2. Enter this one-time code (expires in 15 minutes)\n",
        "   ABCD-12345\n",
        "First copy your one-time code: 1A2B-3C4D\n",
        "https://auth.openai.com/codex/device\n",
        "Open https://claude.com/cai/oauth/authorize?state=s",
        "Paste code here if prompted > ",
        "Successfully logged in\n",
        "Login successful.\n",
        "error: it could not be done\n",
        "err\x1b[1mor\x1b[0m: it could\x1b[K n\x1b[mot be done\r\n",
        "htt\x1b[4mps://claude.com/cai/oa\x1b[muth/authorize?state=s\n",
        "Couldn't log in: not accepted\n",
        "\x1b]8;;https://claude.com/x\x07link\x1b]8;;\x07",
    ];
}
