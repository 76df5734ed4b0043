//! Decodes the bytes of a terminal into text and control functions, in bounded memory.
//!
//! Plain text is read here, in runs. Only escape sequences go through the state machine of `vte`, which would process
//! text one character at a time. Sequences that are not text (titles, colours, clipboard access, device control
//! strings) are dropped here: a [`Page`] receives only text, cursor moves and hyperlinks.

use memchr::memchr3;
use vte::{Params, Parser, Perform};

/// The maximum length of an operating system command. A longer URL is dropped, not truncated.
pub(crate) const OSC_BYTES: usize = 8192;
/// The maximum length of the start of an incomplete character, in bytes.
const CUT: usize = 3;
/// The maximum length of plain text that is passed on at once.
const RUN: usize = 4096;

/// The surface on which text is written.
pub(crate) trait Page {
    /// Writes printable ASCII.
    fn ascii(&mut self, text: &[u8]);
    /// Writes a visible non-ASCII character.
    fn character(&mut self, character: char);
    /// Applies a control character, such as a line feed or a carriage return.
    fn control(&mut self, byte: u8);
    /// Applies a control sequence without intermediate bytes. `private` is its prefix character, such as `?`, or zero.
    fn sequence(&mut self, private: u8, action: char, params: &Params);
    /// Applies a one-byte escape sequence.
    fn escape(&mut self, byte: u8);
    /// Starts a hyperlink, or ends it if there is no target.
    fn link(&mut self, target: Option<&str>);
    /// Returns whether text is dropped until the next control character.
    fn is_full(&self) -> bool;
}

/// A reader of a byte stream. It keeps its state wherever the stream is split.
#[derive(Default)]
pub(crate) struct Decoder {
    parser: Parser<OSC_BYTES>,
    /// True from the start of an escape sequence to its end.
    escaped: bool,
    /// The start of a character that was split at the end of the last chunk. The parser loses the bytes after a split
    /// character if they are not UTF-8, so it is given only complete characters.
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

/// Reads text up to the next escape character. Returns the number of bytes read.
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

/// Returns the number of bytes to skip while text is being dropped: up to the next byte that moves the cursor or starts
/// a sequence.
fn unread(bytes: &[u8]) -> usize {
    let end = memchr3(0x1b, b'\n', b'\r', bytes).unwrap_or(bytes.len());
    memchr3(0x08, 0x0b, 0x0c, &bytes[..end]).unwrap_or(end)
}

fn beyond_ascii(page: &mut impl Page, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().filter(|character| !hidden(*character)).for_each(|each| page.character(each));
        match chunk.invalid() {
            // An 8-bit control character, or the end of the input.
            [] | [0x80..=0x9f] => {}
            _ => page.character(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// Passes the effect of an escape sequence to the page, and records its end.
struct Sequence<'a, P> {
    page: &'a mut P,
    /// True if the parser reported a result at the very byte that ends a sequence. A malformed sequence ends without a
    /// report; the parser then also reads the text after it, until the next sequence.
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
        // Without a bell, a separate escape sequence ends it.
        self.ended = bell;
        let [b"8", _, uri @ ..] = params else { return };
        let uri = uri.join(&b';');
        let head: usize = params[..2].iter().map(|part| part.len() + 1).sum();
        // A full buffer may have lost the end. The parser distinguishes at most sixteen parts.
        let whole = head + uri.len() < OSC_BYTES - params.len() && params.len() < 16;
        let plain = !uri.is_empty() && uri.iter().all(u8::is_ascii_graphic);
        self.page.link(std::str::from_utf8(&uri).ok().filter(|_| whole && plain));
    }

    fn terminated(&self) -> bool {
        self.ended
    }
}

/// Returns the number at this position of a control sequence, or zero if there is none.
pub(crate) fn number(params: &Params, position: usize) -> usize {
    params.iter().nth(position).and_then(|param| param.first()).map_or(0, |value| usize::from(*value))
}

/// Returns the number of bytes at the end that start a character whose remaining bytes have not arrived.
fn cut_character(bytes: &[u8]) -> usize {
    let is_cut = |count: &usize| {
        let tail = &bytes[bytes.len() - count..];
        tail[0] >= 0xc0 && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
    };
    (1..=CUT.min(bytes.len())).find(is_cut).unwrap_or(0)
}

/// Returns whether a character is a control character, or a mark that is invisible or that changes or reorders the text
/// around it.
pub(crate) fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}
