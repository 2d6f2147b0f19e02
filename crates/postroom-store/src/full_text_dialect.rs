//! What of full text is not portable: how a database keeps words, and how it finds them.
//!
//! The table `full text` has one row for each message whose words are kept: its domain, its
//! `dateTime` when they were kept, and a sum that tells whether they are still those of the
//! message.

use postroom_model::MatchQuery;

/// How the messages of a page are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordsPlan {
    /// All that have the words, as a condition like others.
    Condition,
    /// All that have the words, in the order of time, as far as the page goes.
    Sorted,
    /// The next messages in the order of time, at most so many, whether they have the words or not.
    Walk(u32),
}

/// A page of a list in the order of `dateTime`. Its SQL fragments name columns of messages.
#[derive(Debug)]
pub struct TimePage<'a> {
    /// `SELECT` with the columns, without `FROM`.
    pub columns: &'a str,
    /// The placeholders that the words are bound at ([`FullText::bound`]).
    pub query: &'a BoundQuery,
    /// What else must hold. Empty, or it begins with `AND`.
    pub rest: &'a str,
    /// Which messages come after the former page. Empty, or it begins with `AND`.
    pub range: &'a str,
    /// A `dateTime` in milliseconds that none of them is behind. `None`: there is no bound.
    pub bound_ms: Option<i64>,
    /// The newest first.
    pub descending: bool,
    /// How many are wanted at most, as SQL.
    pub until: &'a str,
}

impl TimePage<'_> {
    /// `ORDER BY` with these columns in place of `dateTime` and `id`.
    pub(crate) fn order(&self, ways: [&str; 2], [time, id]: [&str; 2]) -> String {
        let [ascending, descending] = ways;
        let (of_time, of_id) =
            if self.descending { (descending, "DESC") } else { (ascending, "ASC") };
        format!("ORDER BY {time} {of_time}, {id} {of_id}")
    }
}

/// What `match` looks for, as it is bound.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    /// The placeholder of the query of the database.
    pub whole: String,
    /// The placeholders of phrases that the query cannot say, and whether a message must have
    /// them.
    pub phrases: Vec<(String, bool)>,
}

/// Keeps words and finds them.
pub trait FullText: Send + Sync {
    /// The statements that make the tables. What is empty is not needed.
    fn tables(&self) -> [&'static str; 4];

    /// The statement that keeps a message whose words are not kept: its id, domain, `dateTime`,
    /// sum and words are bound.
    fn keep(&self) -> &'static str;

    /// The statement behind it that keeps the words, where they are elsewhere: the id and the words
    /// are bound.
    fn keep_words(&self) -> Option<&'static str>;

    /// The statements that forget the words of the message bound at `$1`, in their order.
    fn forget(&self) -> &'static [&'static str];

    /// Binds what is looked for, as texts.
    fn bound(&self, query: &MatchQuery, bind: &mut dyn FnMut(String) -> String) -> BoundQuery;

    /// The condition that a message has the words.
    fn has(&self, query: &BoundQuery) -> String;

    /// Some messages of a page in the order of time: the query without its last `ORDER BY`.
    fn by_time(&self, page: &TimePage<'_>, plan: WordsPlan) -> String;

    /// The query of how many of the next messages there are, at most `sample`, how many of them
    /// have the words, and how many belong to the page. `None`: the plan is always
    /// [`WordsPlan::Sorted`].
    fn probe(&self, page: &TimePage<'_>, sample: u32) -> Option<String>;
}
