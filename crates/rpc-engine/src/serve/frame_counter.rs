//! The number of frames in a message.
//!
//! tungstenite joins fragments without exposing them, so the frames of a message must be counted before tungstenite
//! reads them. Otherwise, ten thousand empty frames would waste the reader's time without ever reaching a size limit.

/// Finds frame headers (RFC 6455, 5.2) in a byte stream that may be split at any point.
#[derive(Default)]
pub(super) struct FrameCounter {
    /// The maximum number of frames in a message.
    limit: u32,
    header: [u8; 14],
    header_bytes: usize,
    payload: u64,
    in_message: u32,
}

/// The frame headers seen in a piece of the stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) headers: usize,
    /// The number of bytes before the last byte of the header that exceeded the limit.
    pub(super) exceeded_at: Option<usize>,
}

impl FrameCounter {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Scans the next piece of the stream.
    pub(super) fn count(&mut self, bytes: &[u8]) -> Counted {
        let mut counted = Counted::default();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.payload > 0 {
                let left = (bytes.len() - at) as u64;
                let skip = self.payload.min(left);
                self.payload -= skip;
                at += usize::try_from(skip).unwrap_or(bytes.len());
                continue;
            }
            if let Some(slot) = self.header.get_mut(self.header_bytes) {
                *slot = *byte;
                self.header_bytes += 1;
            }
            if self.header_is_complete() {
                counted.headers += 1;
                if !self.count_frame() {
                    counted.exceeded_at = Some(at);
                    return counted;
                }
            }
            at += 1;
        }
        counted
    }

    /// Returns whether the header is complete, and if so reads the payload length.
    fn header_is_complete(&mut self) -> bool {
        let [_, second, ext @ ..] = self.header;
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let (size, payload) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes([ext[0], ext[1]]))),
            127 => {
                let long = ext.first_chunk().map_or(0, |long| u64::from_be_bytes(*long));
                (10, long)
            }
            short => (2, u64::from(short)),
        };
        if self.header_bytes < 2 || self.header_bytes < size + mask {
            return false;
        }
        self.payload = payload;
        self.header_bytes = 0;
        true
    }

    /// Counts the frame whose header has just been completed. Returns false if its message has too many frames.
    fn count_frame(&mut self) -> bool {
        let [first, ..] = self.header;
        let is_control = first & 0x08 != 0;
        if is_control {
            return true;
        }
        self.in_message += 1;
        let allowed = self.in_message <= self.limit;
        if first & 0x80 != 0 {
            self.in_message = 0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three masked fragments of one message, a ping between them, then another message with a 16-bit length.
    fn stream() -> Vec<u8> {
        let mut bytes = vec![0x01, 0x82, 1, 2, 3, 4, b'a', b'b'];
        bytes.extend([0x00, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x89, 0x81, 1, 2, 3, 4, b'p']);
        bytes.extend([0x80, 0x80, 1, 2, 3, 4]);
        bytes.extend([0x81, 0xfe, 0, 126, 1, 2, 3, 4]);
        bytes.extend([0; 126]);
        bytes
    }

    fn check(limit: u32, cut: usize, headers: usize, exceeded: bool) {
        let mut frames = FrameCounter::new(limit);
        let mut seen = Counted::default();
        for piece in stream().chunks(cut) {
            let counted = frames.count(piece);
            seen.headers += counted.headers;
            seen.exceeded_at = seen.exceeded_at.or(counted.exceeded_at);
            if seen.exceeded_at.is_some() {
                break;
            }
        }
        assert_eq!((seen.headers, seen.exceeded_at.is_some()), (headers, exceeded), "cut {cut}");
    }

    #[test]
    fn frame_headers_are_found_wherever_the_stream_is_split() {
        for cut in 1..=stream().len() {
            check(3, cut, 5, false);
            check(2, cut, 4, true);
        }
    }
}
