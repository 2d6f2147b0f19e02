//! What a server says without being asked, kept until the owner of the connection takes it.
//!
//! However much it says, this stays small: counts are added up, and only a few texts are kept.
//!
//! Standards: RFC 3501 §5.2, §7.1 (ALERT), §7.3.1 (EXISTS), §7.4.1 (EXPUNGE).

use crate::numbering::is_selecting;
use crate::response::Code;
use crate::response::Response;
use crate::session::SessionEvent;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use tokio::sync::Notify;

/// How many texts for people are kept.
const ALERTS_MAX: usize = 8;

/// What a server said without being asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsolicited {
    /// How many messages the selected mailbox has, if they became more.
    pub grown_to: Option<u32>,
    /// How many messages were removed from the selected mailbox, by others than this connection.
    pub expunged_count: u64,
    /// How many messages of the selected mailbox have other flags.
    pub flagged_count: u64,
    /// Texts that a person must see (RFC 3501 §7.1), each once.
    pub alerts: Vec<String>,
    /// The words with which the server ended the connection. The next command fails with them.
    pub farewell: Option<String>,
}

impl Unsolicited {
    /// Whether the owner has a reason to act before it is due to: new mail, or a text for people.
    fn wants_attention(&self) -> bool {
        self.grown_to.is_some() || !self.alerts.is_empty()
    }
}

/// What was said so far. Clones share it: the task of the connection writes, the owner takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnsolicitedLog(Arc<UnsolicitedCell>);

#[derive(Debug, Default)]
struct UnsolicitedCell {
    said: Mutex<Unsolicited>,
    more: Notify,
}

impl UnsolicitedLog {
    /// Takes all.
    pub(crate) fn take(&self) -> Unsolicited {
        std::mem::take(&mut *self.said())
    }

    /// Waits until there is a reason to act. Dropping the future loses nothing.
    pub(crate) async fn wait(&self) {
        loop {
            let more = self.0.more.notified();
            if self.said().wants_attention() {
                return;
            }
            more.await;
        }
    }

    /// Another mailbox is selected: what was said of the former one means nothing now.
    pub(crate) fn reselected(&self) {
        let mut said = self.said();
        let (alerts, farewell) = (std::mem::take(&mut said.alerts), said.farewell.take());
        *said = Unsolicited { alerts, farewell, ..Unsolicited::default() };
    }

    /// The server ends the connection.
    pub(crate) fn bye(&self, text: &str) {
        self.said().farewell = Some(text.to_owned());
    }

    /// Notes an event, if it is about something that `command` did not ask for. `exists`: how many
    /// messages the selected mailbox has, as far as is known.
    pub(crate) fn hear(&self, command: &str, event: &SessionEvent, exists: &mut Option<u32>) {
        match event {
            SessionEvent::Response(Response::Exists(count)) => {
                let before = exists.replace(*count);
                if !is_selecting(command) && before.is_some_and(|before| *count > before) {
                    self.said().grown_to = Some(*count);
                    self.0.more.notify_waiters();
                }
            }
            SessionEvent::Response(Response::Expunge) => {
                *exists = exists.map(|count| count.saturating_sub(1));
                if !command.ends_with("EXPUNGE") {
                    self.said().expunged_count += 1;
                }
            }
            SessionEvent::Response(Response::Fetch(_)) => {
                if !command.ends_with("FETCH") && !command.ends_with("STORE") {
                    self.said().flagged_count += 1;
                }
            }
            SessionEvent::Response(Response::State(line)) => {
                self.alert(line.code.as_ref(), &line.text)
            }
            // A refusal shows its text as an error.
            SessionEvent::Completed(completion) if completion.result.is_ok() => {
                self.alert(completion.code.as_ref(), &completion.text);
            }
            SessionEvent::Response(_)
            | SessionEvent::BodyStart { .. }
            | SessionEvent::Chunk(_)
            | SessionEvent::BodyEnd
            | SessionEvent::Continue
            | SessionEvent::Completed(_) => {}
        }
    }

    fn alert(&self, code: Option<&Code>, text: &str) {
        if code.is_none_or(|code| code.name != "ALERT") || text.is_empty() {
            return;
        }
        let mut said = self.said();
        if said.alerts.len() < ALERTS_MAX && !said.alerts.iter().any(|known| known == text) {
            said.alerts.push(text.to_owned());
            self.0.more.notify_waiters();
        }
    }

    fn said(&self) -> MutexGuard<'_, Unsolicited> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
