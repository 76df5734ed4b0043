//! Bytes of a terminal to text and control functions, in bounded memory.
//!
//! Plain text is read here, in runs; only escape sequences go through the state machine of `vte`, which would take
//! text a character at a time. What is meant for others than a reader (titles, colours, clipboards, device control
//! strings) ends here: a [`Page`] hears of text, moves and hyperlinks only.

use memchr::memchr3;
use vte::{Params, Parser, Perform};

/// Longest operating system command that is kept; an address longer than this is dropped, not cut.
pub(crate) const OSC_BYTES: usize = 8192;
/// The most bytes of a character that can be cut off from its last one.
const CUT: usize = 3;
/// Longest run of plain text that is handed on at once.
const RUN: usize = 4096;

/// What text is written on.
pub(crate) trait Page {
    /// Printable ASCII.
    fn ascii(&mut self, text: &[u8]);
    /// A visible character outside of ASCII.
    fn character(&mut self, character: char);
    /// A control character: line feed, carriage return and the like.
    fn control(&mut self, byte: u8);
    /// A control sequence without intermediate bytes; `private` is its marker such as `?`, or zero.
    fn sequence(&mut self, private: u8, action: char, params: &Params);
    /// An escape sequence of one byte.
    fn escape(&mut self, byte: u8);
    /// A hyperlink begins, or, without a target, ends.
    fn link(&mut self, target: Option<&str>);
    /// Whether text is dropped here until the next control character.
    fn is_full(&self) -> bool;
}

/// Reads a stream. Keeps its state over any cut of it.
#[derive(Default)]
pub(crate) struct Decoder {
    parser: Parser<OSC_BYTES>,
    /// An escape sequence has begun and its end has not been seen.
    escaped: bool,
    /// The beginning of a character that the last chunk has cut. The parser loses what follows such a character when
    /// that is not UTF-8, so it is only ever given whole ones.
    held: Vec<u8>,
}

impl Decoder {
    pub(crate) fn feed(&mut self, page: &mut impl Page, chunk: &[u8]) {
        let mut rest = chunk;
        if !self.held.is_empty() {
            let taken = rest.len().min(CUT);
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(&rest[..taken]);
            let cut = cut_character(&joined);
            if cut == joined.len() {
                self.held = joined;
                return;
            }
            self.read(page, &joined[..joined.len() - cut]);
            rest = &rest[taken - cut..];
        }
        let whole = rest.len() - cut_character(rest);
        self.read(page, &rest[..whole]);
        self.held.extend_from_slice(&rest[whole..]);
    }

    /// Whether neither a sequence nor a character has begun without its end.
    pub(crate) fn is_plain(&self) -> bool {
        !self.escaped && self.held.is_empty()
    }

    fn read(&mut self, page: &mut impl Page, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.escaped {
                let mut sequence = Sequence { page, ended: false };
                let used = self.parser.advance_until_terminated(&mut sequence, bytes);
                self.escaped = !sequence.ended;
                bytes = &bytes[used..];
            } else {
                bytes = &bytes[plain(page, bytes)..];
                self.escaped = !bytes.is_empty();
            }
        }
    }
}

/// Reads text up to the next escape character; says how many bytes that were.
fn plain(page: &mut impl Page, bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        match byte {
            0x1b => break,
            0..0x20 => {
                page.control(byte);
                at += 1;
            }
            _ if page.is_full() => at += unread(rest),
            0x20..0x7f => {
                let run = rest.iter().take(RUN).take_while(|byte| (0x20..0x7f).contains(*byte)).count();
                page.ascii(&rest[..run]);
                at += run;
            }
            0x7f => at += 1,
            0x80.. => {
                let run = rest.iter().take_while(|byte| **byte >= 0x80).count();
                beyond_ascii(page, &rest[..run]);
                at += run;
            }
        }
    }
    at
}

/// How many bytes can be passed over where text is dropped: up to what moves the cursor or begins a sequence.
fn unread(bytes: &[u8]) -> usize {
    let end = memchr3(0x1b, b'\n', b'\r', bytes).unwrap_or(bytes.len());
    memchr3(0x08, 0x0b, 0x0c, &bytes[..end]).unwrap_or(end)
}

fn beyond_ascii(page: &mut impl Page, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().filter(|character| !hidden(*character)).for_each(|each| page.character(each));
        match chunk.invalid() {
            // A control character of eight bits, or the end.
            [] | [0x80..=0x9f] => {}
            _ => page.character(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Passes on what an escape sequence means, and notes its end.
struct Sequence<'a, P> {
    page: &'a mut P,
    /// Only what the parser says at the very byte that ends a sequence counts. A broken sequence ends without a word;
    /// then the parser reads the text behind it as well, until the next sequence.
    ended: bool,
}

impl<P: Page> Perform for Sequence<'_, P> {
    fn print(&mut self, character: char) {
        match u8::try_from(character) {
            Ok(byte @ 0x20..0x7f) => self.page.ascii(&[byte]),
            _ if hidden(character) => {}
            _ => self.page.character(character),
        }
    }

    fn execute(&mut self, byte: u8) {
        self.page.control(byte);
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        self.ended = true;
        match intermediates {
            _ if ignore => {}
            [] => self.page.sequence(0, action, params),
            [private @ b'<'..=b'?'] => self.page.sequence(*private, action, params),
            _ => {}
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        self.ended = true;
        if intermediates.is_empty() {
            self.page.escape(byte);
        }
    }

    fn osc_dispatch(&mut self, params: &[&[u8]], bell: bool) {
        // Without a bell it is ended by an escape sequence of its own.
        self.ended = bell;
        let [b"8", _, uri @ ..] = params else { return };
        let uri = uri.join(&b';');
        let head: usize = params[..2].iter().map(|part| part.len() + 1).sum();
        // A full buffer may have lost the end, and sixteen is the most parts that the parser tells apart.
        let whole = head + uri.len() < OSC_BYTES - params.len() && params.len() < 16;
        let plain = !uri.is_empty() && uri.iter().all(u8::is_ascii_graphic);
        self.page.link(std::str::from_utf8(&uri).ok().filter(|_| whole && plain));
    }

    fn terminated(&self) -> bool {
        self.ended
    }
}

/// The first number of a control sequence; zero when it has none.
pub(crate) fn number(params: &Params, position: usize) -> usize {
    params.iter().nth(position).and_then(|param| param.first()).map_or(0, |value| usize::from(*value))
}

/// How many bytes at the end are the beginning of a character whose rest is still to come.
fn cut_character(bytes: &[u8]) -> usize {
    let is_cut = |count: &usize| {
        let tail = &bytes[bytes.len() - count..];
        tail[0] >= 0xc0 && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
    };
    (1..=CUT.min(bytes.len())).find(is_cut).unwrap_or(0)
}

/// Control characters, and marks that are invisible or change or reorder the text around them.
pub(crate) fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}
