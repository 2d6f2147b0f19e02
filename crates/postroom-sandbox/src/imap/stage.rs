//! Which command fits which stage of the dialogue (RFC 3501 §3), and which capability it needs.

use crate::imap::session::Session;
use crate::script::ImapCommand;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// At any time.
    Any,
    /// Before the login.
    Before,
    /// After the login.
    After,
    /// With a mailbox selected.
    Selected,
}

impl Session {
    /// The tagged response to a command that cannot be carried out now, or not at all.
    pub(crate) fn refuses(&self, name: ImapCommand) -> Option<&'static str> {
        let (stage, capability) = needs(name);
        if capability.is_some_and(|capability| !self.offers(capability)) {
            return Some("BAD command not known");
        }
        let fits = match stage {
            Stage::Any => true,
            Stage::Before => self.peer.user.is_none(),
            Stage::After => self.peer.user.is_some(),
            Stage::Selected => self.view.is_some(),
        };
        (!fits).then_some("BAD not now")
    }
}

fn needs(name: ImapCommand) -> (Stage, Option<&'static str>) {
    match name {
        ImapCommand::Capability
        | ImapCommand::Noop
        | ImapCommand::Logout
        | ImapCommand::Unknown => (Stage::Any, None),
        ImapCommand::Id => (Stage::Any, Some("ID")),
        ImapCommand::StartTls => (Stage::Before, Some("STARTTLS")),
        ImapCommand::Login | ImapCommand::Authenticate => (Stage::Before, None),
        ImapCommand::Namespace => (Stage::After, Some("NAMESPACE")),
        ImapCommand::Idle => (Stage::After, Some("IDLE")),
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
        | ImapCommand::Append => (Stage::After, None),
        ImapCommand::Unselect => (Stage::Selected, Some("UNSELECT")),
        ImapCommand::Move => (Stage::Selected, Some("MOVE")),
        ImapCommand::Close
        | ImapCommand::Check
        | ImapCommand::Search
        | ImapCommand::Fetch
        | ImapCommand::Store
        | ImapCommand::Expunge
        | ImapCommand::Copy => (Stage::Selected, None),
    }
}
