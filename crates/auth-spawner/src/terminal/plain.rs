//! Reads lines that need no cells and no cursor: plain ones, coloured ones, and the frames of a spinner.
//!
//! In such a line the cursor is always behind the last character, so its text is its bytes without the sequences
//! between them.

use unicode_width::UnicodeWidthChar;

use super::decoder::hidden;

/// Sequences that move the cursor to the beginning of an empty line.
const RESTARTS: [&[u8]; 6] =
    [b"\x1b[2K\r", b"\r\x1b[K", b"\r\x1b[2K", b"\x1b[2K\x1b[1G", b"\x1b[2K\x1b[G", b"\r\x1b[0K"];

/// Copies the plain lines at the beginning of `bytes` into the block, as a person would see them. Each has its line
/// feed and none is empty. Returns the bytes after them. A line of more bytes than `limit` may have more characters,
/// and is not plain.
pub(crate) fn gather<'a>(mut bytes: &'a [u8], limit: usize, block: &mut Vec<u8>) -> &'a [u8] {
    loop {
        let (bare, rest) = bytes.split_at(bare_lines(bytes, limit));
        block.extend_from_slice(bare);
        let kept = block.len();
        let Some(length) = dressed_line(rest, limit, block) else {
            block.truncate(kept);
            return rest;
        };
        bytes = &rest[length..];
    }
}

/// Returns the length of the lines at the beginning that are their own text, without any sequence.
fn bare_lines(bytes: &[u8], limit: usize) -> usize {
    let mut start = 0;
    loop {
        let text = &bytes[start..][..printable(&bytes[start..])];
        let end = start + text.len();
        let trimmed = text.last().is_some_and(|last| *last != b' ');
        if !trimmed || text.len() > limit || bytes.get(end) != Some(&b'\n') {
            return start;
        }
        start = end + 1;
    }
}

/// Adds a line to the block, unless it is empty, and returns its length. Returns `None` if the line is not plain or not
/// whole; the block may then end with a part of it.
fn dressed_line(bytes: &[u8], limit: usize, block: &mut Vec<u8>) -> Option<usize> {
    let start = block.len();
    let mut at = 0;
    loop {
        let text = printable(&bytes[at..]);
        block.extend_from_slice(&bytes[at..at + text]);
        at += text;
        let rest = &bytes[at..];
        at += match rest {
            [b'\n', ..] => break,
            [b'\r', b'\n', ..] => 1,
            [b'\t', ..] => {
                block.push(b' ');
                1
            }
            [0x80..=0xff, ..] => characters(rest, block)?,
            _ => {
                if let Some(length) = sequence(rest) {
                    length
                } else {
                    let restart = RESTARTS.iter().find(|restart| rest.starts_with(restart))?;
                    block.truncate(start);
                    restart.len()
                }
            }
        };
    }
    let blanks = block[start..].iter().rev().take_while(|byte| **byte == b' ').count();
    block.truncate(block.len() - blanks);
    if block.len() > start {
        block.push(b'\n');
    }
    (at <= limit).then_some(at + 1)
}

/// Returns the length of the printable ASCII at the beginning. It checks eight bytes at a time, because every byte of
/// the output passes here.
fn printable(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::MAX / 0xff;
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // Sets the highest bit of each byte that is below the space, above the tilde or beyond ASCII. A carry only
        // reaches bytes after the first of these.
        let others = (word.wrapping_sub(EACH * 0x20) | word.wrapping_add(EACH) | word) & (EACH * 0x80);
        if others != 0 {
            return index * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    bytes.len() - tail.len() + tail.iter().take_while(|byte| (0x20..0x7f).contains(*byte)).count()
}

/// Adds the characters beyond ASCII at the beginning and returns their length, or `None` if one of them is not a plain
/// visible character.
fn characters(bytes: &[u8], block: &mut Vec<u8>) -> Option<usize> {
    let count = bytes.iter().take_while(|byte| **byte >= 0x80).count();
    let text = str::from_utf8(&bytes[..count]).ok()?;
    let written = |character: char| {
        !hidden(character) && !character.is_whitespace() && character.width().is_some_and(|width| width > 0)
    };
    block.extend_from_slice(text.as_bytes());
    text.chars().all(written).then_some(count)
}

/// Returns the length of a sequence that changes nothing while the cursor is behind the text: it sets the colour,
/// clears the rest of the line, or is private.
fn sequence(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b"\x1b[")?;
    let private = rest.first() == Some(&b'?');
    let rest = &rest[usize::from(private)..];
    let count = rest.iter().take_while(|byte| matches!(byte, b'0'..=b';')).count();
    let (parameters, action) = (&rest[..count], rest.get(count)?);
    let plain = match action {
        0x40..=0x7e if private => true,
        b'm' => true,
        b'K' => matches!(parameters, b"" | b"0"),
        _ => false,
    };
    plain.then_some(b"\x1b[".len() + usize::from(private) + count + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_takes_whole_plain_lines_and_leaves_the_rest() {
        let check = |bytes: &str, block: &str, rest: &str| {
            let mut gathered = b"before\n".to_vec();
            let left = gather(bytes.as_bytes(), 30, &mut gathered);
            assert_eq!(str::from_utf8(&gathered).unwrap(), format!("before\n{block}"), "{bytes:?}");
            assert_eq!(left, rest.as_bytes(), "{bytes:?}");
        };
        check("", "", "");
        check("one\n two and more\nthree", "one\n two and more\n", "three");
        check("one  \r\n\n \n\r\ntwo \n", "one\ntwo\n", "");
        check("a\tb\t\n", "a b\n", "");
        check("\x1b[1;32mgreen\x1b[0m one\n", "green one\n", "");
        check("\u{2714} done\u{2026}\n\u{5b57}\n", "\u{2714} done\u{2026}\n\u{5b57}\n", "");
        check("\x1b[?25l\x1b[2K\rone\x1b[K\r\x1b[Ktwo\x1b[0K\n", "two\n", "");
        check("10 %\x1b[2K\x1b[1G9 %\n", "9 %\n", "");
        check("1\n\x1b[2K\r\x1b[2K\r\n2\n", "1\n2\n", "");
        let long = format!("{}\n", "x".repeat(30));
        check(&format!("{long}\x1b[m{long}"), &long, &format!("\x1b[m{long}"));
        check(&format!("{long}x{long}"), &long, &format!("x{long}"));
        for other in [
            "over\rwritten\n",
            "a\x1b[2Kb\n",
            "a\x1b[1K\n",
            "a\x1b[5Gb\n",
            "a\x08b\n",
            "a\u{200b}b\n",
            "a\u{fff9}b\n",
            "a\u{3000}\n",
            "e\u{301}\n",
            "a\u{7f}b\n",
            "\x1b]8;;https://a.test/\x07a\n",
            "\x1b[31",
        ] {
            check(&format!("one\n{other}"), "one\n", other);
        }
    }

    #[test]
    fn printable_prefix_is_measured_for_every_byte_at_every_offset() {
        for length in 0..20 {
            for byte in 0..=u8::MAX {
                let mut bytes = b"~ ".repeat(length)[..length].to_vec();
                bytes.extend([byte, 0xff, 0x00, b'a']);
                let expected = if (0x20..0x7f).contains(&byte) { length + 1 } else { length };
                assert_eq!(printable(&bytes), expected, "{byte} at {length}");
            }
        }
    }
}
