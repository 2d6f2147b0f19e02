//! Wakes those who wait for changes of clients.

use crate::bell::Listener;
use crate::bell::Topic;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::MessageDirection;
use postroom_model::MessageState;
use postroom_model::builtin;
use postroom_model::builtin::names;

impl Store {
    /// Listens to a topic from now on.
    #[must_use]
    pub fn listen(&self, topic: Topic) -> Listener {
        self.inner.database.listen(topic)
    }

    /// Wakes those who wait for a client's change of an entity. A message wakes nobody unless it is
    /// to be sent: else each new message would make its account look for something to send.
    pub(crate) fn changed(&self, class: &Class, entity: &Entity) {
        if [builtin::TOKENS, builtin::USERS].contains(&class.classname.as_str()) {
            self.inner.database.ring(Topic::Tokens);
            return;
        }
        if class.classname == builtin::DOMAINS {
            self.inner.database.ring(Topic::Tokens);
        }
        if class.classname != builtin::MESSAGES {
            // The engine does not use the classes of clients.
            if class.is_built_in() {
                self.reconfigured();
            }
            return;
        }
        if !MessageDirection::Out.is_of(entity) || !MessageState::Sending.is_of(entity) {
            return;
        }
        let account = entity.reference(names::ACCOUNT_ID).map(AccountId::of);
        let topics = account.map(Topic::Outgoing).into_iter().chain([Topic::AnyOutgoing]);
        topics.for_each(|topic| self.inner.database.ring(topic));
    }

    /// Wakes those who wait for a change of a profile, an account or a folder.
    pub(crate) fn reconfigured(&self) {
        self.inner.database.ring(Topic::Configuration);
    }
}
