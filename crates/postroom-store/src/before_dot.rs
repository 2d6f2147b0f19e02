//! What is durable before the final dot of a message is sent: that it is sent next, and for whom.

use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::phase::DeliveryStep;
use crate::sending;
use crate::store::Store;
use postroom_model::MessageEntityId;
use serde_json::Value as Json;
use serde_json::json;

/// Whether the final dot of a message may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeforeDot {
    /// It may.
    Send,
    /// It must not, because a client withdrew the message.
    Withdrawn,
    /// It must not, because the account may not send any more. The message waits.
    Stopped,
}

impl Store {
    /// Records durably that the final dot is about to be sent, if the message may still leave.
    /// `named` are the places of the recipients that the transaction names in this attempt and the
    /// server has accepted.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_dot_sent(
        &self,
        message: MessageEntityId,
        attempt: u32,
        named: &[usize],
    ) -> Result<BeforeDot, Error> {
        let may_leave = sending::may_leave("\"delivery\"");
        let may_leave =
            format!("SELECT 1 FROM \"delivery\" WHERE \"message\" = $1 AND {may_leave}");
        let may_leave = Statement::new(may_leave).bind(message);
        let may_leave = may_leave.assert(Failed::MayNotSend, Lock::Found);
        let whose = format!(
            "\"message\" = $1
             AND EXISTS (SELECT 1 FROM \"email/Messages\" WHERE \"id\" = $1 AND {})",
            sending::is_sending("")
        );
        let dot_sent = DeliveryStep::SendDot.taken_with(", \"named\" = $2", &whose);
        let dot_sent =
            dot_sent.bind(message).bind(json!({"attempt": attempt, "places": named}).to_string());
        let dot_sent = dot_sent.must_change(Failed::NotSending);
        match self.write(vec![dot_sent, may_leave]).await {
            Ok(_) => Ok(BeforeDot::Send),
            Err(Error::Condition(Failed::NotSending)) => Ok(BeforeDot::Withdrawn),
            Err(Error::Condition(Failed::MayNotSend)) => Ok(BeforeDot::Stopped),
            Err(error) => Err(error),
        }
    }

    /// The places of the recipients that were accepted in the last transaction of an attempt whose
    /// final dot was sent, or was about to be. `None`: an earlier version has sent it.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_named(
        &self,
        message: MessageEntityId,
        attempt: u32,
    ) -> Result<Option<Vec<usize>>, Error> {
        let sql = "SELECT \"named\" FROM \"delivery\" WHERE \"message\" = $1";
        let rows = self.read(Statement::new(sql).bind(message)).await?;
        let named = rows.first().and_then(|row| row.text(0));
        let named: Option<Json> = named.and_then(|json| serde_json::from_str(json).ok());
        // A process of an earlier version leaves what was written in an earlier attempt.
        let named = named.filter(|named| named.get("attempt") == Some(&json!(attempt)));
        let places = named.and_then(|named| named.get("places").cloned());
        Ok(places.and_then(|places| serde_json::from_value(places).ok()))
    }
}
