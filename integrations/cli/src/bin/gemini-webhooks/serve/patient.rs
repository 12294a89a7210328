//! A connection whose writes end if the other side does not read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A client that reads nothing for so long is given up: its place is for others.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// A connection whose writes end if the other side does not read.
pub(super) struct Patient<S> {
    stream: S,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            stuck: None,
        }
    }

    fn limited<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let stuck = self
            .stuck
            .get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        stuck
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.limited(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.limited(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of these tests stands still"
)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    /// The clock of these tests jumps to the next time that something waits for.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up() {
        let (ours, _theirs) = duplex(8);
        let mut patient = Patient::new(ours);
        patient.write_all(&[0; 8]).await.unwrap();
        let begun = Instant::now();
        let error = patient.write_all(&[0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_is_waited_for() {
        const TOTAL: usize = 64;
        let (ours, mut theirs) = duplex(8);
        let mut patient = Patient::new(ours);
        let reading = tokio::spawn(async move {
            let (mut all, mut part) = (0, [0; 8]);
            while all < TOTAL {
                sleep(WRITE_TIME.mul_f32(0.9)).await;
                all += theirs.read(&mut part).await.unwrap();
            }
            theirs
        });
        let begun = Instant::now();
        patient.write_all(&[0; TOTAL]).await.unwrap();
        assert!(
            begun.elapsed() > WRITE_TIME * 2,
            "it took longer than one pause may"
        );
        let mut theirs = reading.await.unwrap();
        // Reading has no limit here, and does not count as writing.
        let late = tokio::spawn(async move {
            sleep(WRITE_TIME * 3).await;
            theirs.write_all(b"x").await.unwrap();
        });
        assert_eq!(patient.read_u8().await.unwrap(), b'x');
        late.await.unwrap();
    }
}
