//! Which command fits which stage of the dialogue (RFC 3501 §3), and which capability it needs.

use crate::imap::session::ImapDialogue;
use crate::script::ImapCommand;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateNeeded {
    /// At any time.
    Any,
    /// Before the login.
    Before,
    /// After the login.
    After,
    /// With a mailbox selected.
    Selected,
}

impl ImapDialogue {
    /// The tagged response to a command that cannot be carried out now, or not at all.
    pub(crate) fn refuses(&self, name: ImapCommand) -> Option<&'static str> {
        let (stage, capability) = needs(name);
        if capability.is_some_and(|capability| !self.offers(capability)) {
            return Some("BAD command not known");
        }
        let fits = match stage {
            StateNeeded::Any => true,
            StateNeeded::Before => self.peer.user.is_none(),
            StateNeeded::After => self.peer.user.is_some(),
            StateNeeded::Selected => self.view.is_some(),
        };
        (!fits).then_some("BAD not now")
    }
}

fn needs(name: ImapCommand) -> (StateNeeded, Option<&'static str>) {
    match name {
        ImapCommand::Capability
        | ImapCommand::Noop
        | ImapCommand::Logout
        | ImapCommand::Unknown => (StateNeeded::Any, None),
        ImapCommand::Id => (StateNeeded::Any, Some("ID")),
        ImapCommand::StartTls => (StateNeeded::Before, Some("STARTTLS")),
        ImapCommand::Login | ImapCommand::Authenticate => (StateNeeded::Before, None),
        ImapCommand::Namespace => (StateNeeded::After, Some("NAMESPACE")),
        ImapCommand::Idle => (StateNeeded::After, Some("IDLE")),
        ImapCommand::List
        | ImapCommand::Lsub
        | ImapCommand::Subscribe
        | ImapCommand::Unsubscribe
        | ImapCommand::Create
        | ImapCommand::Delete
        | ImapCommand::Rename
        | ImapCommand::Select
        | ImapCommand::Examine
        | ImapCommand::Status
        | ImapCommand::Append => (StateNeeded::After, None),
        ImapCommand::Unselect => (StateNeeded::Selected, Some("UNSELECT")),
        ImapCommand::Move => (StateNeeded::Selected, Some("MOVE")),
        ImapCommand::Close
        | ImapCommand::Check
        | ImapCommand::Search
        | ImapCommand::Fetch
        | ImapCommand::Store
        | ImapCommand::Expunge
        | ImapCommand::Copy => (StateNeeded::Selected, None),
    }
}
