//! Encoding of WebSocket text frames.

use bytes::BufMut;

/// Encodes a text message as one frame (RFC 6455, 5.2). The message is the concatenation of `pieces`. Server frames are
/// not masked, so one frame can be sent to many connections.
pub(crate) fn put_text_frame(out: &mut impl BufMut, pieces: &[&[u8]]) {
    const FINAL_TEXT: u8 = 0x81;
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    out.put_u8(FINAL_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..126), _) => out.put_u8(short),
        (_, Ok(length)) => {
            out.put_u8(126);
            out.put_u16(length);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    for piece in pieces {
        out.put_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::protocol::frame::FrameSocket;

    use super::*;

    #[test]
    fn text_frame_can_be_read_by_a_websocket_library() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let text = "x".repeat(length);
            let (front, back) = text.as_bytes().split_at(length / 3);
            let mut frame = Vec::new();
            put_text_frame(&mut frame, &[front, back]);
            let mut reader = FrameSocket::new(Cursor::new(frame));
            let read = reader.read(None).unwrap().unwrap();
            assert!(read.header().is_final && read.header().mask.is_none());
            assert_eq!(read.into_text().unwrap(), text);
            assert!(reader.read(None).unwrap().is_none());
        }
    }
}
