//! Handles the refusal of a message that the server may already have.
//!
//! With `uncertain: resend`, a message whose answer was lost is sent again. If that is refused, the
//! server may mean the second copy, or have a temporary problem. The refusal does not prove that
//! the first copy was not delivered, and a user who sets `resend` prefers another copy to an
//! unknown outcome. So the message is retried as long as any other waiting message, and only then
//! ends as `uncertain`.

use crate::send::settle;
use crate::send::transmit;
use crate::send::transmit::HandedOver;
use crate::shared::Shared;
use postroom_model::ErrorCode;
use postroom_model::Options;
use postroom_model::RecipientState;
use postroom_model::Uncertain;
use postroom_store::Claimed;
use postroom_store::Verdict;
use serde_json::Value as Json;

/// Decides about a delivery by the result of an attempt and the open results of earlier attempts.
pub(crate) async fn verdict(
    shared: &Shared,
    claimed: &mut Claimed,
    ended: &Result<HandedOver, postroom_smtp::Error>,
    options: &Options,
) -> Verdict {
    let verdict = transmit::verdict(claimed, ended, options);
    let Verdict::Error { code: ErrorCode::Refused, reason } = &verdict else {
        return verdict;
    };
    if options.uncertain() != Uncertain::Resend {
        return verdict;
    }
    // If the store fails now, it still considers this when it records the end.
    let Ok(delivered) = shared.store.delivery_delivered(claimed.message).await else {
        return verdict;
    };
    let may_have = |recipient: &Json| {
        let address = recipient["address"].as_str().unwrap_or_default();
        !RecipientState::Sent.is_of(recipient) && delivered.may_have(address)
    };
    if !again(&mut claimed.recipients, may_have) {
        return verdict;
    }
    let reason = format!(
        "the server may have the message from an earlier attempt, and refused it now: \
                 {reason}"
    );
    settle::later(reason, transmit::tried(claimed), options)
}

/// Makes the recipients that may have the message wait for the next attempt. Gives whether there
/// are any.
fn again(recipients: &mut [Json], may_have: impl Fn(&Json) -> bool) -> bool {
    let mut any = false;
    for recipient in recipients.iter_mut().filter(|recipient| may_have(recipient)) {
        RecipientState::Deferred.put(recipient);
        any = true;
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_recipients_with_an_unknown_outcome_wait_for_another_attempt() {
        let mut recipients = vec![
            json!({"address": "a@x.test", "state": "refused"}),
            json!({"address": "b@x.test", "state": "refused"}),
        ];
        assert!(again(&mut recipients, |recipient| recipient["address"] == "a@x.test"));
        assert_eq!(recipients[0]["state"], "deferred");
        assert_eq!(recipients[1]["state"], "refused");
        assert!(!again(&mut recipients, |_| false));
    }
}
