//! The step that makes the indexes of the queue.

/// The first index has the deliveries of an account in the order in which they are sent. The second
/// one has the few deliveries that a sender has taken, so that a start finds them at once.
pub(super) const STEP: &[&str] = &[
    "CREATE INDEX \"delivery in order\" ON \"delivery\"
       (\"account\", \"phase\", \"order\", \"message\", \"due\", \"planned\")",
    "CREATE INDEX \"delivery under way\" ON \"delivery\" (\"phase\", \"account\")
       WHERE \"phase\" = 'claimed' OR \"phase\" = 'dot-sent' OR \"phase\" = 'in-doubt'",
];
