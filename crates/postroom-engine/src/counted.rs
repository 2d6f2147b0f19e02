//! Counted: numbers of messages and mailboxes in texts.

/// `1 message`, `5 messages`.
#[must_use]
pub(crate) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_no_plural() {
        let texts = [0, 1, 2].map(|count| counted(count, "message"));
        assert_eq!(texts, ["0 messages", "1 message", "2 messages"]);
    }
}
