//! Splits the bytes of a pipe into lines of text, in bounded memory.
//!
//! Colours and cursor moves are removed. A carriage return and a backspace overwrite text, as on a screen. The target
//! of an OSC 8 hyperlink is kept, because it is complete even if the visible text is wrapped. This is not a screen: a
//! program on a pipe has no cursor for drawing. [`super::screen`] reads the output of a program on a terminal.

use vte::Params;

use super::decoder::{Decoder, Page, number};
use super::row::{Line, Row};

/// The farthest column that a cursor move can reach. Only text makes a line longer than this, so a few bytes cannot
/// create thousands of cells.
const COLUMNS: usize = 1000;

/// A splitter of a byte stream into lines. It keeps its state wherever the stream is split.
pub(crate) struct Lines {
    decoder: Decoder,
    sheet: Sheet,
}

impl Lines {
    /// Creates a splitter. `limit` is the maximum number of characters per line; the rest is dropped.
    pub(crate) fn new(limit: usize) -> Self {
        Self { decoder: Decoder::default(), sheet: Sheet { limit, ..Sheet::default() } }
    }

    /// Processes a chunk and passes every completed line to `done`. Empty lines are omitted.
    pub(crate) fn feed(&mut self, chunk: &[u8], done: &mut dyn FnMut(&Line)) {
        self.decoder.feed(&mut Writing { sheet: &mut self.sheet, done }, chunk);
    }

    /// Returns the unfinished line if it contains any text or link.
    pub(crate) fn partial(&self) -> Option<Line> {
        let mut line = Line::default();
        self.sheet.row.read(0, &mut line);
        (!line.is_empty()).then_some(line)
    }

    /// Returns whether there is an unfinished line, without building it.
    pub(crate) fn has_partial(&self) -> bool {
        !self.sheet.row.is_empty()
    }

    /// Returns whether the unfinished line has changed since the last call.
    pub(crate) fn touched(&mut self) -> bool {
        std::mem::take(&mut self.sheet.touched)
    }

    /// Ends the stream or the current line, which then counts as complete.
    pub(crate) fn finish(&mut self, done: &mut dyn FnMut(&Line)) {
        Writing { sheet: &mut self.sheet, done }.end_line();
    }
}

/// The current line as a row of cells with a cursor.
#[derive(Default)]
struct Sheet {
    limit: usize,
    row: Row,
    cursor: usize,
    touched: bool,
    /// A buffer reused for each line.
    line: Line,
}

/// The current line while it is being written.
struct Writing<'a> {
    sheet: &'a mut Sheet,
    done: &'a mut dyn FnMut(&Line),
}

impl Writing<'_> {
    fn end_line(&mut self) {
        let sheet = &mut *self.sheet;
        sheet.row.read(0, &mut sheet.line);
        if !sheet.line.is_empty() {
            (self.done)(&sheet.line);
        }
        sheet.row.clear();
        sheet.cursor = 0;
    }

    /// Moves the cursor to a column, but never back from a position that only text can have reached.
    fn right(&mut self, column: usize) {
        self.sheet.cursor = column.min(self.sheet.limit).min(COLUMNS.max(self.sheet.cursor));
    }
}

impl Page for Writing<'_> {
    fn ascii(&mut self, text: &[u8]) {
        let sheet = &mut *self.sheet;
        let cursor = sheet.row.ascii(sheet.cursor, text, sheet.limit);
        sheet.touched |= cursor != sheet.cursor;
        sheet.cursor = cursor;
    }

    fn character(&mut self, character: char) {
        let sheet = &mut *self.sheet;
        sheet.cursor = sheet.row.character(sheet.cursor, character, sheet.limit);
        sheet.touched = true;
    }

    fn control(&mut self, byte: u8) {
        match byte {
            b'\n' | 0x0b | 0x0c => self.end_line(),
            b'\r' => self.sheet.cursor = 0,
            0x08 => self.sheet.cursor = self.sheet.cursor.saturating_sub(1),
            b'\t' => self.ascii(b" "),
            _ => {}
        }
    }

    fn sequence(&mut self, private: u8, action: char, params: &Params) {
        if private != 0 {
            return;
        }
        let first = number(params, 0);
        let count = first.max(1);
        match action {
            'G' | '`' => self.right(count - 1),
            'C' => self.right(self.sheet.cursor.saturating_add(count)),
            'D' => self.sheet.cursor = self.sheet.cursor.saturating_sub(count),
            'K' if first == 0 => self.sheet.row.truncate(self.sheet.cursor),
            'K' if first == 2 => self.sheet.row.truncate(0),
            // A new row starts. Words of two rows must not run together.
            'A' | 'B' | 'E' | 'F' | 'H' | 'J' | 'd' | 'f' => self.end_line(),
            _ => {}
        }
    }

    fn escape(&mut self, byte: u8) {
        // Next line, index, reverse index.
        if matches!(byte, b'D' | b'E' | b'M') {
            self.end_line();
        }
    }

    fn link(&mut self, target: Option<&str>) {
        if let Some(target) = target {
            self.sheet.row.link(target);
            self.sheet.touched = true;
        }
    }

    fn is_full(&self) -> bool {
        self.sheet.cursor >= self.sheet.limit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::terminal::decoder::{OSC_BYTES, hidden};

    fn read(chunks: &[&[u8]]) -> Vec<(String, Vec<String>)> {
        read_within(8192, chunks)
    }

    fn read_within(limit: usize, chunks: &[&[u8]]) -> Vec<(String, Vec<String>)> {
        let mut lines = Lines::new(limit);
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, &mut |line| seen.push((line.text.clone(), line.links.clone())));
        }
        lines.finish(&mut |line| seen.push((line.text.clone(), line.links.clone())));
        seen
    }

    #[test]
    fn line_text_matches_what_a_terminal_displays() {
        let check = |bytes: &[u8], expected: &[&str]| {
            let texts: Vec<String> = read(&[bytes]).into_iter().map(|(text, _)| text).collect();
            assert_eq!(texts, expected, "{:?}", String::from_utf8_lossy(bytes));
        };
        check(b"one\ntwo\r\nthree", &["one", "two", "three"]);
        check(b"\x1b[94mABCD-12345\x1b[0m\n", &["ABCD-12345"]);
        check(b"real\rfake\n", &["fake"]);
        check(b"longer\rxy\n", &["xynger"]);
        check(b"ab\x08c\n", &["ac"]);
        check(b"spin |\r\x1b[Kdone\n", &["done"]);
        check(b"Welcome\x1b[9Gto\x1b[12GClaude\n", &["Welcome to Claude"]);
        check(b"row\x1b[2;1Hother", &["row", "other"]);
        check(b"bad \xff\xfe utf8\n", &["bad \u{fffd}\u{fffd} utf8"]);
        check(b"nul\0nul\n", &["nulnul"]);
        check("a\u{202e}b\u{2066}c\u{9b}d\n".as_bytes(), &["abcd"]);
        check(b"\x1b]0;title\x07\x1b]52;c;c2VjcmV0\x07text\n", &["text"]);
        check(b"\x1bPdevice control\x1b\\text\n", &["text"]);
        check(b"lone escape at the end\x1b", &["lone escape at the end"]);
        check(b"\n\n \n", &[]);
    }

    #[test]
    fn link_is_dropped_when_too_long_or_with_hidden_characters() {
        let check = |bytes: Vec<u8>, expected: &[&str]| {
            let links: Vec<String> = read(&[&bytes]).into_iter().flat_map(|(_, links)| links).collect();
            assert_eq!(links, expected);
        };
        check(b"\x1b]8;;https://a.test/x;y?z\x07here\x1b]8;;\x07\n".to_vec(), &["https://a.test/x;y?z"]);
        check(b"\x1b]8;id=1;https://a.test/\x1b\\here\x1b]8;;\x1b\\\n".to_vec(), &["https://a.test/"]);
        check(b"\x1b]8;;https://a.test/\xe2\x80\xae\x07\n".to_vec(), &[]);
        let long = format!("https://a.test/{}", "x".repeat(OSC_BYTES));
        check(format!("\x1b]8;;{long}\x07here\n").into_bytes(), &[]);
        let fits = format!("https://a.test/{}", "x".repeat(4000));
        check(format!("\x1b]8;;{fits}\x07here\n").into_bytes(), &[&fits]);
    }

    #[test]
    fn line_is_truncated_at_its_limit() {
        let mut lines = Lines::new(10);
        for _ in 0..1000 {
            lines.feed(&[b'x'; 1000], &mut |_| {});
        }
        lines.feed(b"\x1b[9999C.\x1b]8;;", &mut |_| {});
        lines.feed(&vec![b'y'; 100_000], &mut |_| {});
        assert_eq!(lines.partial(), Some(Line { text: "x".repeat(10), links: Vec::new() }));
    }

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_the_stream_is_split(bytes in stream(), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(bytes.len() + 1);
            prop_assert_eq!(read(&[&bytes]), read(&[&bytes[..cut], &bytes[cut..]]));
        }

        #[test]
        fn lines_are_the_same_when_bytes_arrive_one_at_a_time(bytes in stream(), limit in 1_usize..40) {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read_within(limit, &[&bytes]), read_within(limit, &single));
        }

        #[test]
        fn line_text_contains_no_control_character(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for (text, _) in read(&[&bytes]) {
                prop_assert!(!text.chars().any(hidden), "{text:?}");
            }
        }
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            6 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..8),
            1 => "\x1b\\[[?]?[0-9:;]{0,3}[A-Za-z]".prop_map(String::into_bytes),
            1 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    const PIECES: &[&str] = &[
        "\n",
        "\r\n",
        "\r",
        "\t",
        " ",
        "a few words",
        "a line of words\n",
        "\u{7f}",
        "\x1b[31m",
        "\x1b[38;5;1m",
        "\x1b[?25l",
        "\x1b[K",
        "\x1b[2K",
        "\x1b[2K\r",
        "\r\x1b[K",
        "\x1b[2K\x1b[1G",
        "\x1b[9G",
        "\x1b]8;;https://a.test/?q\x07",
        "\x1b]8;;\x1b\\",
        "…é\u{202e}",
        "\u{280b} ",
        "\u{5b57}",
        "\u{3000}",
        "e\u{301}",
    ];
}
