//! IDLE (RFC 2177): changes are sent as they happen, until DONE.

use crate::imap::session::ImapDialogue;
use crate::wire::ClientLine;
use std::io;

/// `DONE` is short.
const LINE_BYTES_MAX: usize = 1024;

impl ImapDialogue {
    /// Sends changes until the client says DONE.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn idle(&mut self) -> io::Result<String> {
        self.peer.wire.push(b"+ idling\r\n");
        self.peer.wire.flush().await?;
        self.peer.idling(true);
        let line = self.news_until_line().await;
        self.peer.idling(false);
        match line? {
            ClientLine::Text(line) if line.eq_ignore_ascii_case(b"DONE") => {
                Ok("OK done".to_owned())
            }
            ClientLine::Text(_) | ClientLine::TooLong => Ok("BAD expected DONE".to_owned()),
        }
    }

    async fn news_until_line(&mut self) -> io::Result<ClientLine> {
        let mut changed = self.peer.house.shared.watch();
        loop {
            // The state is marked as seen before it is read, so that no change is missed in
            // between.
            changed.mark_unchanged();
            self.tell_news();
            self.peer.wire.flush().await?;
            tokio::select! {
                biased;
                line = self.peer.wire.line(LINE_BYTES_MAX) => return line,
                _ = changed.changed() => {}
            }
        }
    }
}
