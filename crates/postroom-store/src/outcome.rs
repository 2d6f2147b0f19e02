//! Outcome: the text of a message that some recipients have and others do not have.

use crate::delivered;
use postroom_model::RecipientState;
use serde_json::Value as Json;

/// How many addresses of one kind the text names. `recipients` has all of them.
const NAMED_MAX: usize = 10;

/// The reason, and who has the message, if some recipients have it and others do not. `waits`:
/// whether it is tried again for those that were not refused.
pub(crate) fn with_addresses(reason: String, recipients: &[Json], waits: bool) -> String {
    let of = |states: &[Option<RecipientState>]| {
        let these = recipients.iter().filter(|it| states.contains(&RecipientState::of(it)));
        these.filter_map(delivered::address_of).collect::<Vec<_>>()
    };
    let have = of(&[Some(RecipientState::Sent)]);
    if have.is_empty() || have.len() == recipients.len() {
        return reason;
    }
    let open = [RecipientState::Waiting, RecipientState::Deferred, RecipientState::Failed];
    let open = of(&[open.map(Some).as_slice(), &[None]].concat());
    let parts = [
        (if waits { "not yet to" } else { "not to" }, open),
        ("refused for", of(&[Some(RecipientState::Refused)])),
        ("perhaps to", of(&[Some(RecipientState::Uncertain)])),
    ];
    let mut text = format!("{reason}; the message was sent to {}", named(&have));
    for (how, addresses) in parts.iter().filter(|(_, addresses)| !addresses.is_empty()) {
        text.push_str(&format!("; {how} {}", named(addresses)));
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
        let text = |states: &[&str], waits| {
            let row = |(at, state)| json!({"address": format!("r{at}@b.test"), "state": state});
            let recipients: Vec<_> = states.iter().enumerate().map(row).collect();
            with_addresses("no".to_owned(), &recipients, waits)
        };
        let table: &[(&[&str], bool, &str)] = &[
            (&["refused", "failed"], false, "no"),
            (&["sent", "sent"], false, "no"),
            (&["sent", "failed"], false, "no; the message was sent to r0@b.test; not to r1@b.test"),
            (
                &["sent", "refused", "deferred", "waiting"],
                true,
                "no; the message was sent to r0@b.test; not yet to r2@b.test, r3@b.test; refused \
                 for r1@b.test",
            ),
            (
                &["uncertain", "sent"],
                false,
                "no; the message was sent to r1@b.test; perhaps to r0@b.test",
            ),
        ];
        for (states, waits, want) in table {
            assert_eq!(text(states, *waits), *want);
        }
        let states: Vec<_> = ["sent"; 5000].into_iter().chain(["refused"]).collect();
        let many = text(&states, false);
        assert!(many.ends_with("r9@b.test and 4990 more; refused for r5000@b.test"), "{many}");
    }
}
