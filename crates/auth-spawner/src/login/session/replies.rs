//! Pending replies to queries that a CLI sends to its terminal.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::ready;

use tokio::io::AsyncWrite;

use crate::answer::Stdin;

/// The maximum number of pending replies. A CLI that sends more queries is not reading the replies, so they are
/// dropped.
const WAITING: usize = 16;

/// Replies that have not been written yet.
#[derive(Default)]
pub(super) struct Replies {
    waiting: VecDeque<String>,
    /// The number of bytes of the first reply that have been written.
    written: usize,
}

impl Replies {
    pub(super) fn push(&mut self, reply: String) {
        if self.waiting.len() < WAITING {
            self.waiting.push_back(reply);
        }
    }

    /// Writes as much as the input accepts. Never resolves if there is nothing to write, or while another delivery is
    /// in progress. Cancel safe: nothing is lost or written twice.
    pub(super) async fn write(&mut self, stdin: &mut Option<Stdin>) -> io::Result<()> {
        let (Some(stdin), false) = (stdin, self.waiting.is_empty()) else {
            return std::future::pending().await;
        };
        poll_fn(|context| {
            while let Some(first) = self.waiting.front() {
                let rest = &first.as_bytes()[self.written..];
                let count = match ready!(Pin::new(&mut *stdin).poll_write(context, rest)) {
                    Ok(count) => count,
                    Err(error) => {
                        // A closed input stays closed, so drop the replies.
                        self.clear();
                        return Err(error).into();
                    }
                };
                self.written += count;
                if count == 0 || self.written >= first.len() {
                    self.waiting.pop_front();
                    self.written = 0;
                }
            }
            Ok(()).into()
        })
        .await
    }

    /// Takes the rest of a partially written reply. The next writer must write it first, otherwise its own text would
    /// become part of the reply.
    pub(super) fn take_begun(&mut self) -> String {
        match std::mem::take(&mut self.written) {
            0 => String::new(),
            written => self.waiting.pop_front().map(|first| first[written..].to_owned()).unwrap_or_default(),
        }
    }

    fn clear(&mut self) {
        self.waiting.clear();
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn reply_is_written_completely_and_once_when_a_write_is_cancelled() {
        let (input, mut child) = duplex(4);
        let mut stdin: Option<Stdin> = Some(Box::new(input));
        let mut replies = Replies::default();
        for _ in 0..1000 {
            replies.push("\x1b[1;1R".to_owned());
        }
        assert_eq!(replies.waiting.len(), WAITING, "excess replies must be dropped");
        // The input accepts only part of the first reply; cancelling the write leaves the rest pending.
        tokio::select! {
            biased;
            _ = replies.write(&mut stdin) => panic!("the input should be too small for all replies"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(replies.take_begun(), "1R");
        assert_eq!(replies.take_begun(), "");
        let mut begun = [0; 4];
        child.read_exact(&mut begun).await.unwrap();
        assert_eq!(&begun, b"\x1b[1;");
        replies.waiting.truncate(1);
        let (written, read) = tokio::join!(replies.write(&mut stdin), async {
            let mut answer = [0; 6];
            child.read_exact(&mut answer).await.map(|_| answer)
        });
        written.unwrap();
        assert_eq!(&read.unwrap(), b"\x1b[1;1R");
        stdin.unwrap().shutdown().await.unwrap();
        assert_eq!(child.read(&mut begun).await.unwrap(), 0, "nothing twice");
    }

    #[tokio::test]
    async fn reply_queue_is_cleared_when_the_input_is_closed() {
        let (input, child) = duplex(4);
        drop(child);
        let mut stdin: Option<Stdin> = Some(Box::new(input));
        let mut replies = Replies::default();
        replies.push("\x1b[0n".to_owned());
        assert!(replies.write(&mut stdin).await.is_err());
        assert!(replies.waiting.is_empty());
    }
}
