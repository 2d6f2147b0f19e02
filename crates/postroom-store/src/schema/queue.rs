//! The step with which a queue is read in its order, and recovered without reading all of it.

/// What is due is read in the order in which it is sent. Few deliveries are under way.
pub(super) const STEP: &[&str] = &[
    "CREATE INDEX \"delivery in order\" ON \"delivery\"
       (\"account\", \"phase\", \"order\", \"message\", \"due\", \"planned\")",
    "CREATE INDEX \"delivery under way\" ON \"delivery\" (\"phase\", \"account\")
       WHERE \"phase\" = 'claimed' OR \"phase\" = 'dot-sent' OR \"phase\" = 'in-doubt'",
];
