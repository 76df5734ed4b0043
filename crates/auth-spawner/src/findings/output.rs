//! The output streams of a child. They are always read, as soon as data arrives.

use std::pin::Pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::Duration;

use regex::bytes::Regex;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::matcher::{Completeness, Finding, Matcher, public_words};
use crate::registry::{Pattern, Terminal};
use crate::terminal::{Line, View};

/// The initial size of a read buffer, and its size again when there is little output.
const SMALL: usize = 4 * 1024;
/// The size up to which the buffer grows while reads fill it.
const LARGE: usize = 64 * 1024;
/// The time for which unfinished text must stay unchanged to be considered complete, even while other rows are drawn.
pub(crate) const SETTLED: Duration = Duration::from_secs(1);

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// All output streams of one child.
pub(crate) struct Output {
    streams: Vec<Stream>,
    /// A counter that selects the stream to poll first, so that a flood on one stream cannot starve the other.
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

/// The line interpreter of one stream.
struct Search {
    matcher: Matcher,
    /// True once the prompt of the current line has been reported.
    prompted: bool,
}

/// The unfinished text at the previous inspection.
struct UnfinishedLine {
    line: Line,
    since: Instant,
    settled: bool,
}

/// The result of inspecting the output.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) found: Vec<Finding>,
    /// The last complete line that may explain a failure.
    pub(crate) explanation: Option<String>,
}

impl Output {
    /// Creates the output. Each stream gets a separate view and matcher.
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

    /// Returns whether some text has not been interpreted for good: an unfinished line, or rows that may still be
    /// redrawn.
    pub(crate) fn has_partial(&self) -> bool {
        self.streams.iter().any(|stream| stream.view.has_unread())
    }

    /// Waits for the next chunk from any stream and returns its findings. Never resolves once all streams have ended.
    /// Cancel safe: cancelling the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Findings {
        // Processing a flood takes time, and the runtime would allow many reads before it runs other tasks.
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

    /// Returns the findings in unfinished lines and drawn rows once they have been unchanged for a while or have waited
    /// long enough.
    pub(crate) fn still(&mut self, completeness: Completeness) -> Findings {
        let mut findings = Findings::default();
        for stream in &mut self.streams {
            stream.still(completeness, &mut findings);
        }
        findings
    }

    /// Ends the current lines, as the Enter key does on a screen. Output after an answer starts a new line, and a
    /// prompt in it is a new prompt.
    pub(crate) fn break_lines(&mut self) {
        for stream in &mut self.streams {
            stream.view.break_line();
            stream.search.prompted = false;
            stream.unfinished = None;
        }
    }

    /// Takes the next answer to a query that the child has sent to its terminal.
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
        // The prompt of the current line stays reported, because these are different rows.
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

/// Grows a buffer that was filled by a read, and shrinks one that is mostly empty.
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

/// Lines that tell the user how to open a page. They may contain the words of a failure, but explain none.
const GUIDING: &str = "(?i)(browser|page|link|url).{0,60}(not|n't|fail|unable|cannot).{0,30}(open|launch|start)|(not|n't|unable to|cannot|fail(ed)? to).{0,20}(open|launch|start).{0,40}(browser|page|link|url)|^\\W*(if|when|in case) .{0,60}browser|without a browser";

static GUIDES: LazyLock<Option<Regex>> =
    LazyLock::new(|| Pattern::try_from(GUIDING.to_owned()).ok()?.regex().cloned());

/// Returns whether a line may explain a failed login. Other lines are not stored, because some CLIs print tokens.
fn explains(text: &str) -> bool {
    let matches =
        |words: &LazyLock<Option<Regex>>| words.as_ref().is_some_and(|words| words.is_match(text.as_bytes()));
    matches(&EXPLAINS) && !matches(&GUIDES)
}

/// Returns the last line of a command's output that may explain a failure, shortened for display.
pub(crate) fn explanation_in(output: &[u8]) -> Option<String> {
    let mut found = None;
    let mut read = |line: &Line| {
        if explains(&line.text) {
            found = Some(public_words(&line.text));
        }
    };
    let mut view = View::new(Terminal::Pipe, LARGE);
    view.feed(output, &mut read);
    view.finish(&mut read);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::{Provider, Recipe, Registry};

    #[test]
    fn line_explains_failure_unless_it_only_helps_to_open_the_page() {
        let check = |line: &str, expected: bool| assert_eq!(explains(line), expected, "{line}");
        check("Error logging in: Token exchange failed: 400", true);
        check("Couldn't log in: getaddrinfo EAI_AGAIN platform.claude.com", true);
        check("Not logged in", true);
        check("If your browser did not open, navigate to this URL to authenticate:", false);
        check("If the browser didn't open, visit: https://claude.com/cai/oauth/authorize?x=1", false);
        check("If your browser does not open automatically, visit:", false);
        check("Failed to open browser automatically. Please open this link:", false);
        check("Could not open the browser; open the URL yourself", false);
        check("Opening browser for login", false);
        let said = explanation_in(b"all good\n\x1b[31mError: the token was refused\x1b[0m\nbye\n");
        assert_eq!(said.as_deref(), Some("Error: the token was refused"));
        assert_eq!(explanation_in(b"fine\n"), None);
    }

    /// Returns all findings of a `recipe` login whose CLI prints these chunks to a pipe, however the bytes are split.
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

    /// The cursor stays on a URL without a line feed while another row changes constantly.
    #[tokio::test(start_paused = true)]
    async fn output_reports_an_unfinished_row_once_while_another_row_changes() {
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
        // The URL is reported once, after it has been unchanged for a second: first seen at 400 ms, it is not yet due
        // at 1200 ms but is at 1600 ms.
        let expected: Vec<usize> = (0..20).map(|look| usize::from(look == 7)).collect();
        assert_eq!(heard, expected);
    }

    #[test]
    fn output_findings_do_not_depend_on_where_the_stream_is_split() {
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
    fn output_reports_a_prompt_again_after_other_lines() {
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
    fn output_reports_a_device_code_announced_in_an_earlier_chunk() {
        let registry = Registry::builtin().unwrap();
        let provider = registry.provider("codex").unwrap();
        let recipe = &provider.recipe("device-auth", None).unwrap();
        let chunks: [&[u8]; 2] = [b"a line\nEnter this one-time code\n", b"ABCD-12345\na line\n"];
        let heard = live(provider, recipe, &chunks);
        let seen: Vec<_> = heard.into_iter().flat_map(|(seen, _)| seen).collect();
        assert_eq!(seen, [Finding::DeviceCode("ABCD-12345".to_owned())]);
    }

    /// Returns the findings that a session gets for each chunk, and at the end.
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

    /// Output of real CLIs, complete and in parts.
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
