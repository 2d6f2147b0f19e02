//! Outcome: the text of a message that some recipients have and others have not.

use crate::delivered;
use serde_json::Value as Json;

/// How many addresses of one kind the text names; `recipients` has all of them.
const NAMED_MAX: usize = 10;

/// The reason, and who has the message, if some recipients have it and others do not. `not_to`
/// begins the list of those that do not have it.
pub fn with_addresses(reason: String, recipients: &[Json], not_to: &str) -> String {
    let (mut have, mut may_have, mut have_not) = (vec![], vec![], vec![]);
    for recipient in recipients {
        let these = match recipient["state"].as_str() {
            Some("sent") => &mut have,
            Some("uncertain") => &mut may_have,
            _ => &mut have_not,
        };
        these.push(delivered::address_of(recipient).unwrap_or_default());
    }
    if have.is_empty() || have.len() == recipients.len() {
        return reason;
    }
    let mut text = format!("{reason}; the message was sent to {}", named(&have));
    if !have_not.is_empty() {
        text.push_str(&format!(", but {not_to} {}", named(&have_not)));
    }
    if !may_have.is_empty() {
        text.push_str(&format!("; it is not known whether it reached {}", named(&may_have)));
    }
    text
}

/// The first addresses, and how many more there are.
fn named(addresses: &[&str]) -> String {
    let first: Vec<_> = addresses.iter().take(NAMED_MAX).copied().collect();
    match addresses.len().saturating_sub(NAMED_MAX) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_that_only_some_have_says_who() {
        let text = |states: &[&str]| {
            let row = |(at, state)| json!({"address": format!("r{at}@b.test"), "state": state});
            let recipients: Vec<_> = states.iter().enumerate().map(row).collect();
            with_addresses("no".to_owned(), &recipients, "not to")
        };
        assert_eq!(text(&["refused", "failed"]), "no");
        assert_eq!(
            text(&["sent", "refused", "failed"]),
            "no; the message was sent to r0@b.test, but not to r1@b.test, r2@b.test"
        );
        assert_eq!(
            text(&["sent", "uncertain"]),
            "no; the message was sent to r0@b.test; it is not known whether it reached r1@b.test"
        );
        let many = text(&["sent"; 5000].iter().copied().chain(["refused"]).collect::<Vec<_>>());
        assert!(many.contains("r9@b.test and 4990 more, but not to r5000@b.test"), "{many}");
    }
}
