//! Entries: the recipients of a message that is composed, with what is known of each so far.

use crate::outgoing::Recipient;
use crate::send::settle;
use postroom_mime::compose::wire_address;
use postroom_model::RecipientState;
use postroom_model::Uncertain;
use postroom_smtp::no_such_addresses;
use postroom_store::Delivered;
use serde_json::Value as Json;

/// An address as it goes over the wire: its domain in ASCII.
pub(crate) fn wire(address: &str) -> String {
    wire_address(address).map_or_else(|_| address.to_owned(), |wire| wire.address)
}

/// The entries of the recipients with their results so far. Who has the message is not sent it
/// again. Nor is who may have it, as long as others certainly do not. If there are no others, the
/// client has asked for another copy.
#[must_use]
pub(crate) fn so_far(
    recipients: &[Recipient],
    delivered: &Delivered,
    uncertain: Uncertain,
) -> Vec<Json> {
    let is_certain = |recipient: &Recipient| delivered.get(&recipient.address).is_none();
    let spares = uncertain == Uncertain::Hold && recipients.iter().any(is_certain);
    let entry = |recipient: &Recipient| {
        let earlier = delivered.get(&recipient.address);
        let state = match earlier.map(|earlier| earlier.outcome_unknown) {
            Some(false) => RecipientState::Sent,
            Some(true) if spares => RecipientState::Uncertain,
            Some(true) | None => RecipientState::Waiting,
        };
        recipient.row(state, earlier.and_then(|earlier| earlier.reply.as_deref()))
    };
    recipients.iter().map(entry).collect()
}

/// Refuses the recipients whose addresses a server cannot take that accepts only ASCII.
pub(crate) fn refuse_beyond_ascii(recipients: &[Recipient], states: &mut [Json]) {
    for (place, recipient) in recipients.iter().enumerate() {
        let path = wire(&recipient.address);
        if !path.is_ascii() {
            settle::put_all(states, &[place], RecipientState::Refused, &no_such_addresses(&path));
        }
    }
}
