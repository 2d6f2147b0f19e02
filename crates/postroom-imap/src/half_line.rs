//! Lines that a server begins between two commands, and does not end.

use crate::error::Error;
use crate::response_timer::ResponseTimer;
use crate::wire::ImapWire;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

/// How long the rest of a line is waited for that began between two commands.
const HALF_LINE_PATIENCE: Duration = Duration::from_secs(2);

impl<S> ImapWire<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Ends a line that the server has begun unasked and does not end, before a command is sent.
    /// Otherwise the answer to the command would become a part of that line. The rest of it is a
    /// line that means nothing.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub(crate) async fn end_half_line(&mut self) -> Result<(), Error> {
        let mut timer = ResponseTimer::whole(HALF_LINE_PATIENCE, HALF_LINE_PATIENCE);
        loop {
            while self.ready_event()?.is_some() {}
            if !self.is_in_line() {
                return Ok(());
            }
            match self.fill(&mut timer).await {
                Ok(()) => {}
                Err(Error::Timeout { .. }) => self.end_line(),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Command;
    use crate::limits::ImapOptions;
    use std::sync::Arc;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn half_a_line_between_two_commands_does_not_swallow_the_answer() {
        // The rest of the line comes before the command, after it, or never.
        for (half, rest) in [("* 3 EX", ""), ("* 3 EX", "ISTS\r\n"), ("* OK [ALERT] bye", "")] {
            let (stream, mut server) = tokio::io::duplex(1 << 16);
            let options = Arc::new(ImapOptions::default());
            let mut wire = ImapWire::new(stream, Arc::clone(&options));
            server.write_all(format!("* PREAUTH hello\r\n{half}").as_bytes()).await.unwrap();
            let mut timer = ResponseTimer::whole(Duration::from_secs(9), Duration::from_secs(9));
            wire.begin(&mut timer).await.unwrap();
            wire.event(&mut timer).await.unwrap();
            let answer = format!("{rest}P1 OK done\r\n");
            let server = tokio::spawn(async move {
                let mut asked = [0; 9];
                server.read_exact(&mut asked).await.unwrap();
                server.write_all(answer.as_bytes()).await.unwrap();
                server
            });
            let began = Instant::now();
            wire.command(Command::noop()).await.unwrap();
            assert!(began.elapsed() <= HALF_LINE_PATIENCE, "{:?}", began.elapsed());
            drop(server.await.unwrap());
        }
    }
}
