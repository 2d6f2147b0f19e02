//! The part of full text that is not portable: how a database stores words and finds them.
//!
//! The table `full text` has one row for each message whose words are stored. It has the domain and
//! the `dateTime` of the message, and a checksum that shows whether its words have changed since.

use postroom_model::MatchQuery;

/// How the messages of a page are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordsPlan {
    /// The words are a condition like others.
    Condition,
    /// All messages with the words are sorted by time, up to the end of the page.
    Sorted,
    /// The next messages in the order of time are checked one after the other, at most so many.
    Walk(u32),
}

/// A page of a list in the order of `dateTime`. Its SQL fragments name columns of messages.
#[derive(Debug)]
pub struct TimePage<'a> {
    /// `SELECT` with the columns, without `FROM`.
    pub columns: &'a str,
    /// The placeholders that the words are bound at ([`FullText::bound`]).
    pub query: &'a BoundQuery,
    /// The other conditions. Empty, or it begins with `AND`.
    pub rest: &'a str,
    /// The condition that a message comes after the previous page. Empty, or it begins with `AND`.
    pub range: &'a str,
    /// A `dateTime` in milliseconds since 1970 with which the page may begin at the earliest, in
    /// the order of the page. `None`: there is no bound.
    pub bound_ms: Option<i64>,
    /// Whether the newest message comes first.
    pub descending: bool,
    /// How many messages are wanted at most, as SQL.
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

/// The bound values of a `match`.
#[derive(Debug, Clone)]
pub struct BoundQuery {
    /// The placeholder of the query of the database.
    pub whole: String,
    /// The placeholders of phrases that the query of the database cannot express, and whether a
    /// message must have the phrase.
    pub phrases: Vec<(String, bool)>,
}

/// Stores words and finds them.
pub trait FullText: Send + Sync {
    /// The statements that make the tables. Empty ones are not needed.
    fn tables(&self) -> [&'static str; 4];

    /// The statement that stores the row of a message that has none. The id, domain, `dateTime`,
    /// checksum and words are bound.
    fn keep(&self) -> &'static str;

    /// The statement after it that stores the words, if they are in a table of their own. The id
    /// and the words are bound.
    fn keep_words(&self) -> Option<&'static str>;

    /// The statements that delete the words of the message bound at `$1`, in their order.
    fn forget(&self) -> &'static [&'static str];

    /// Binds the words of a `match`, as texts.
    fn bound(&self, query: &MatchQuery, bind: &mut dyn FnMut(String) -> String) -> BoundQuery;

    /// The condition that a message has the words.
    fn has(&self, query: &BoundQuery) -> String;

    /// The query of a range of a page in the order of time, without its last `ORDER BY`.
    fn by_time(&self, page: &TimePage<'_>, plan: WordsPlan) -> String;

    /// The query that samples the next messages. It returns how many there are, at most `sample`,
    /// how many of them have the words, and how many belong to the page. `None`: the plan is always
    /// [`WordsPlan::Sorted`].
    fn probe(&self, page: &TimePage<'_>, sample: u32) -> Option<String>;
}
