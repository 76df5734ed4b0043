//! Bytes of a terminal to lines of text, in bounded memory.
//!
//! Colours and cursor moves are removed; a carriage return and a backspace overwrite, as on a screen; the
//! target of an OSC 8 hyperlink is kept, because it is whole where the visible text may be wrapped. This is
//! no screen: a CLI that draws over earlier lines needs a model of its own beside this one.

use vte::{Params, Parser, Perform};

/// Longest operating system command that is kept; an address longer than this is dropped, not cut.
const OSC_BYTES: usize = 8192;
/// Hyperlinks kept of one line.
const LINKS: usize = 16;
/// Bytes that are parsed at once.
const PIECE: usize = 1024;
/// The most bytes of a character that can be cut off from its last one.
const CUT: usize = 3;

/// One line, or what there is so far of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Line {
    /// Printable text, without control characters and without marks that change its direction.
    pub(crate) text: String,
    /// Hyperlink targets that stood in it.
    pub(crate) links: Vec<String>,
}

/// Splits a stream of bytes into lines. Keeps its state over any cut of the stream.
pub(crate) struct Lines {
    parser: Parser<OSC_BYTES>,
    sheet: Sheet,
    /// What is parsed next. It begins with the bytes of a character that the last chunk has cut: the parser loses
    /// what follows such a character when that is not UTF-8, so it is only ever given whole ones.
    piece: Vec<u8>,
}

impl Lines {
    /// `limit` is the most characters kept of one line; what is beyond is counted and dropped.
    pub(crate) fn new(limit: usize) -> Self {
        let sheet = Sheet { limit, ..Sheet::default() };
        Self { parser: Parser::default(), sheet, piece: Vec::with_capacity(PIECE + CUT) }
    }

    /// Takes a chunk and hands every line that it finishes to `done`. Empty lines are left out.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut done: impl FnMut(Line)) {
        // In pieces, so that a chunk of nothing but line feeds cannot pile up lines.
        for piece in chunk.chunks(PIECE) {
            self.piece.extend_from_slice(piece);
            let whole = self.piece.len() - cut_character(&self.piece);
            self.parser.advance(&mut self.sheet, &self.piece[..whole]);
            self.piece.drain(..whole);
            self.sheet.done.drain(..).for_each(&mut done);
        }
    }

    /// The unfinished line, if it has any text or link.
    pub(crate) fn partial(&self) -> Option<Line> {
        let line = self.sheet.line();
        (!line.text.is_empty() || !line.links.is_empty()).then_some(line)
    }

    /// Whether there is an unfinished line, without building it.
    pub(crate) fn has_partial(&self) -> bool {
        !self.sheet.cells.is_empty() || !self.sheet.links.is_empty()
    }

    /// Ends the stream: the unfinished line counts as finished.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        let line = self.partial();
        self.sheet.clear();
        line
    }
}

/// The current line as a row of cells with a cursor.
#[derive(Default)]
struct Sheet {
    limit: usize,
    cells: Vec<char>,
    cursor: usize,
    links: Vec<String>,
    done: Vec<Line>,
}

impl Sheet {
    fn line(&self) -> Line {
        let text: String = self.cells.iter().collect();
        Line { text: text.trim_end().to_owned(), links: self.links.clone() }
    }

    fn clear(&mut self) {
        self.cells.clear();
        self.cursor = 0;
        self.links.clear();
    }

    fn end_line(&mut self) {
        let line = self.line();
        if !line.text.is_empty() || !line.links.is_empty() {
            self.done.push(line);
        }
        self.clear();
    }

    fn move_to(&mut self, column: usize) {
        self.cursor = column.min(self.limit);
    }
}

impl Perform for Sheet {
    fn print(&mut self, character: char) {
        if self.cursor >= self.limit || hidden(character) {
            return;
        }
        while self.cells.len() < self.cursor {
            self.cells.push(' ');
        }
        match self.cells.get_mut(self.cursor) {
            Some(cell) => *cell = character,
            None => self.cells.push(character),
        }
        self.cursor += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' | 0x0b | 0x0c => self.end_line(),
            b'\r' => self.cursor = 0,
            0x08 => self.cursor = self.cursor.saturating_sub(1),
            b'\t' => self.print(' '),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        if !intermediates.is_empty() {
            return;
        }
        let first =
            params.iter().next().and_then(|param| param.first()).map_or(0, |value| usize::from(*value));
        let count = first.max(1);
        match action {
            'G' | '`' => self.move_to(count - 1),
            'C' => self.move_to(self.cursor.saturating_add(count)),
            'D' => self.move_to(self.cursor.saturating_sub(count)),
            'K' if first == 0 => self.cells.truncate(self.cursor),
            'K' if first == 2 => self.cells.clear(),
            // Another row begins: words of two rows must not run together.
            'A' | 'B' | 'E' | 'F' | 'H' | 'J' | 'd' | 'f' => self.end_line(),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        // Next line, index, reverse index.
        if intermediates.is_empty() && matches!(byte, b'D' | b'E' | b'M') {
            self.end_line();
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], _bell: bool) {
        let [b"8", _, uri @ ..] = params else { return };
        let uri = uri.join(&b';');
        let head: usize = params[..2].iter().map(|part| part.len() + 1).sum();
        // A full buffer may have lost the end, and sixteen is the most parts that the parser tells apart.
        let whole = head + uri.len() < OSC_BYTES - params.len() && params.len() < 16;
        let plain = !uri.is_empty() && uri.iter().all(u8::is_ascii_graphic);
        if let (true, Ok(uri)) = (whole && plain, String::from_utf8(uri))
            && self.links.len() < LINKS
            && self.links.last() != Some(&uri)
        {
            self.links.push(uri);
        }
    }
}

/// How many bytes at the end are the beginning of a character whose rest is still to come.
fn cut_character(bytes: &[u8]) -> usize {
    let is_cut = |count: &usize| {
        let tail = &bytes[bytes.len() - count..];
        tail[0] >= 0xc0 && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
    };
    (1..=CUT.min(bytes.len())).find(is_cut).unwrap_or(0)
}

/// Control characters, and marks that are invisible or reorder the text around them.
fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<(String, Vec<String>)> {
        let mut lines = Lines::new(8192);
        let mut seen = Vec::new();
        for chunk in chunks {
            lines.feed(chunk, |line| seen.push((line.text, line.links)));
        }
        seen.extend(lines.finish().map(|line| (line.text, line.links)));
        seen
    }

    #[test]
    fn text_is_what_a_person_would_see() {
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
    fn links_are_kept_whole_or_not_at_all() {
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
    fn a_line_is_bounded() {
        let mut lines = Lines::new(10);
        for _ in 0..1000 {
            lines.feed(&[b'x'; 1000], |_| {});
        }
        lines.feed(b"\x1b[9999C.\x1b]8;;", |_| {});
        lines.feed(&vec![b'y'; 100_000], |_| {});
        assert_eq!(lines.partial(), Some(Line { text: "x".repeat(10), links: Vec::new() }));
    }

    proptest! {
        #[test]
        fn the_cut_of_the_stream_does_not_matter(bytes in stream(), cut in any::<prop::sample::Index>()) {
            let cut = cut.index(bytes.len() + 1);
            prop_assert_eq!(read(&[&bytes]), read(&[&bytes[..cut], &bytes[cut..]]));
        }

        #[test]
        fn no_control_character_survives(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            for (text, _) in read(&[&bytes]) {
                prop_assert!(!text.chars().any(hidden), "{text:?}");
            }
        }
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\x1b[31m".to_vec()),
            Just(b"\x1b]8;;https://a.test/?q\x07".to_vec()),
            Just(b"\x1b]8;;\x1b\\".to_vec()),
            Just("…é\u{202e}".as_bytes().to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\x1b[9G".to_vec()),
            prop::collection::vec(any::<u8>(), 0..8),
        ];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }
}
