//! The output streams of a child, read as they come and never left unread.

use std::pin::Pin;
use std::task::Poll;

use tokio::io::{AsyncRead, ReadBuf};

use crate::lines::{Line, Lines};
use crate::matcher::{Matcher, Seen, Wholeness};

const CHUNK: usize = 8 * 1024;

/// All output streams of one child.
pub(crate) struct Output {
    streams: Vec<Stream>,
    /// Which stream is looked at first, so that a flood on one cannot silence the other.
    turn: usize,
}

struct Stream {
    reader: Option<Box<dyn AsyncRead + Send + Unpin>>,
    buffer: Box<[u8]>,
    lines: Lines,
    matcher: Matcher,
    /// The prompt of the present line has been reported.
    prompted: bool,
}

/// What a look at the output found.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) seen: Vec<Seen>,
    /// The last whole line that may explain a failure.
    pub(crate) words: Option<String>,
}

impl Output {
    pub(crate) fn new(
        readers: Vec<Box<dyn AsyncRead + Send + Unpin>>,
        line_limit: usize,
        matcher: impl Fn() -> Matcher,
    ) -> Self {
        let stream = |reader| Stream {
            reader: Some(reader),
            buffer: vec![0; CHUNK].into_boxed_slice(),
            lines: Lines::new(line_limit),
            matcher: matcher(),
            prompted: false,
        };
        Self { streams: readers.into_iter().map(stream).collect(), turn: 0 }
    }

    /// Whether every stream has ended.
    pub(crate) fn ended(&self) -> bool {
        self.streams.iter().all(|stream| stream.reader.is_none())
    }

    /// Whether some line is unfinished.
    pub(crate) fn has_partial(&self) -> bool {
        self.streams.iter().any(|stream| stream.lines.has_partial())
    }

    /// Waits for the next chunk of any stream and says what it means. Pends for ever once all have ended.
    /// Nothing is lost when the wait is given up.
    pub(crate) async fn next(&mut self) -> News {
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
                    // A stream that cannot be read any more has nothing more to say.
                    Poll::Ready(Err(_)) => return Poll::Ready((position, 0)),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await;
        self.streams[position].take(length)
    }

    /// What the unfinished lines mean, now that they have been still for a while.
    pub(crate) fn still(&mut self, wholeness: Wholeness) -> News {
        let mut news = News::default();
        for stream in &mut self.streams {
            if let Some(line) = stream.lines.partial() {
                stream.understand(&line, wholeness, &mut news);
            }
        }
        news
    }

    /// Ends the present lines, as the Enter key does on a screen: what follows an answer is a new line, and a
    /// prompt in it is a new prompt.
    pub(crate) fn break_lines(&mut self) {
        for stream in &mut self.streams {
            stream.lines.finish();
            stream.prompted = false;
        }
    }
}

impl Stream {
    fn take(&mut self, length: usize) -> News {
        let mut news = News::default();
        let mut whole = Vec::new();
        if length == 0 {
            self.reader = None;
            whole.extend(self.lines.finish());
        } else {
            self.lines.feed(&self.buffer[..length], |line| whole.push(line));
        }
        for line in &whole {
            self.understand(line, Wholeness::Whole, &mut news);
            self.prompted = false;
        }
        if !self.prompted
            && let Some(line) = self.lines.partial().filter(|line| self.matcher.is_prompt(&line.text))
        {
            self.understand(&line, Wholeness::Partial, &mut news);
        }
        news
    }

    fn understand(&mut self, line: &Line, wholeness: Wholeness, news: &mut News) {
        for seen in self.matcher.read(line, wholeness) {
            if seen == Seen::Prompt && std::mem::replace(&mut self.prompted, true) {
                continue;
            }
            news.seen.push(seen);
        }
        if wholeness == Wholeness::Whole && explains(&line.text) {
            news.words = Some(line.text.clone());
        }
    }
}

/// Whether a line may explain why a login did not come about. Others are not kept: some CLIs print tokens.
fn explains(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["error", "fail", "couldn't", "could not", "cannot", "unable", "denied", "refused", "invalid", "not "]
        .iter()
        .any(|word| text.contains(word))
}
