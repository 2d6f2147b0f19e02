//! Rings from and to other processes: `NOTIFY` and `LISTEN` on a connection of its own.
//!
//! Rings may be lost. Everybody who listens looks again within a minute anyway.

use crate::bell::Topic;
use crate::postgres::patience::AnswerPatience;
use crate::postgres::session::PostgresSession;
use crate::postgres::sessions::Sessions;
use postroom_model::AccountId;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::ToSql;

/// The time between two attempts to listen again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The name of the channel that all processes of the database listen to.
const CHANNEL: &str = "postroom";

/// Sends `rings` to other processes, and receives theirs, as long as the sessions exist.
pub(crate) async fn listen(sessions: Weak<Sessions>, mut rings: mpsc::UnboundedReceiver<Topic>) {
    loop {
        let Some(connected) = connect(&sessions).await else {
            return;
        };
        if let Ok(connection) = connected {
            // Rings may have been lost until now, so there may be news of every topic.
            sessions.upgrade().inspect(|sessions| sessions.bell.ring_all());
            tell(&connection, &mut rings).await;
        }
        if rings.is_closed() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Connects and listens. `None`: the sessions do not exist any more.
async fn connect(sessions: &Weak<Sessions>) -> Option<Result<PostgresSession, ()>> {
    let config = sessions.upgrade().filter(|sessions| !sessions.is_closed())?.config().clone();
    let sessions = Weak::clone(sessions);
    let heard = move |message| {
        if let (AsyncMessage::Notification(told), Some(sessions)) = (message, sessions.upgrade())
            && let Some(topic) = topic_of(told.payload())
        {
            sessions.bell.ring(topic);
        }
    };
    let Ok(connection) = PostgresSession::open(&config, Box::new(heard)).await else {
        return Some(Err(()));
    };
    let listens = connection.client.batch_execute("LISTEN \"postroom\"");
    let listens = AnswerPatience::new(Some(ANSWER_WITHIN)).wait(listens).await;
    Some(listens.and_then(Result::ok).map(|()| connection).ok_or(()))
}

/// Sends rings to other processes until the connection is lost, or nobody rings any more.
async fn tell(connection: &PostgresSession, rings: &mut mpsc::UnboundedReceiver<Topic>) {
    let mut many = vec![];
    loop {
        tokio::select! {
            count = rings.recv_many(&mut many, 1000) => {
                if count == 0 {
                    return;
                }
            }
            () = tokio::time::sleep(AGAIN) => {
                if connection.client.is_closed() {
                    return;
                }
            }
        }
        let topics: HashSet<_> = many.drain(..).map(payload_of).collect();
        let topics: Vec<_> = topics.into_iter().collect();
        let sql =
            "SELECT pg_notify($1, \"topic\") FROM unnest($2::text[]) AS \"topics\" (\"topic\")";
        if topics.is_empty() {
            continue;
        }
        let values: [&(dyn ToSql + Sync); 2] = [&CHANNEL, &topics];
        let told = connection.client.execute(sql, &values);
        if !matches!(AnswerPatience::new(Some(ANSWER_WITHIN)).wait(told).await, Some(Ok(_))) {
            return;
        }
    }
}

fn payload_of(topic: Topic) -> String {
    match topic {
        Topic::Configuration => "configuration".to_owned(),
        Topic::Outgoing(account) => format!("outgoing {account}"),
        Topic::AnyOutgoing => "any outgoing".to_owned(),
        Topic::Jobs => "jobs".to_owned(),
        Topic::Tokens => "tokens".to_owned(),
        Topic::Settings => "settings".to_owned(),
        Topic::Classes => "classes".to_owned(),
        Topic::News => "news".to_owned(),
    }
}

fn topic_of(payload: &str) -> Option<Topic> {
    Some(match payload {
        "configuration" => Topic::Configuration,
        "any outgoing" => Topic::AnyOutgoing,
        "jobs" => Topic::Jobs,
        "tokens" => Topic::Tokens,
        "settings" => Topic::Settings,
        "classes" => Topic::Classes,
        "news" => Topic::News,
        _ => Topic::Outgoing(AccountId::of(payload.strip_prefix("outgoing ")?.parse().ok()?)),
    })
}

/// Starts the task that sends rings to other processes. Returns the channel to it.
pub(crate) fn start(sessions: &Arc<Sessions>) -> mpsc::UnboundedSender<Topic> {
    let (sender, rings) = mpsc::unbounded_channel();
    tokio::spawn(listen(Arc::downgrade(sessions), rings));
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_told_as_it_is() {
        let account = AccountId::from_u128(7);
        for topic in [
            Topic::Configuration,
            Topic::Outgoing(account),
            Topic::AnyOutgoing,
            Topic::Jobs,
            Topic::Tokens,
            Topic::Settings,
            Topic::Classes,
            Topic::News,
        ] {
            assert_eq!(topic_of(&payload_of(topic)), Some(topic));
        }
        assert_eq!(topic_of("of a later version"), None);
    }
}
