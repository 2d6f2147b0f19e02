//! What servers say without being asked reaches the owner of the connection.

use crate::peer::connect;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_imap::Unsolicited;
use std::time::Duration;

const SELECTED: &str = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n";

#[tokio::test(start_paused = true)]
async fn what_is_said_while_nothing_is_asked_is_kept_and_wakes_the_owner() {
    let (mut connection, mut peer) = connect("IMAP4rev1").await;
    let inbox = MailboxName::inbox();
    let ((), selected) =
        tokio::join!(async { drop(peer.answer("EXAMINE", SELECTED).await) }, async {
            connection.select(&inbox, Mode::Examine).await.unwrap()
        });
    assert_eq!(selected.exists, Some(3));
    assert_eq!(connection.selected(), Some(&inbox));
    assert_eq!(
        connection.take_unsolicited(),
        Unsolicited::default(),
        "what was asked for is no news"
    );

    let waits = async |connection: &postroom_imap::ImapConnection| {
        tokio::time::timeout(Duration::from_secs(60), connection.unsolicited()).await.is_err()
    };
    // Nobody has to act because of these.
    peer.send(b"* 3 EXISTS\r\n* 2 EXPUNGE\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* OK fine\r\n").await;
    assert!(waits(&connection).await);
    let want = Unsolicited { expunged_count: 1, flagged_count: 1, ..Unsolicited::default() };
    assert_eq!(connection.take_unsolicited(), want);
    // Three again, after one was removed: there is a new one.
    peer.send(b"* 3 EXISTS\r\n").await;
    assert!(!waits(&connection).await);
    let want = Unsolicited { grown_to: Some(3), ..Unsolicited::default() };
    assert_eq!(connection.take_unsolicited(), want);
    assert!(waits(&connection).await, "it is taken");

    peer.send(b"* NO [ALERT] Quota over\r\n* OK [ALERT] Quota over\r\n* OK [ALERT] Two\r\n").await;
    assert!(!waits(&connection).await);
    let alerts = ["Quota over", "Two"].map(str::to_owned).to_vec();
    assert_eq!(connection.take_unsolicited(), Unsolicited { alerts, ..Unsolicited::default() });
}

#[tokio::test(start_paused = true)]
async fn what_is_said_beside_an_answer_is_kept_too() {
    let (mut connection, mut peer) = connect("IMAP4rev1").await;
    let inbox = MailboxName::inbox();
    tokio::join!(async { drop(peer.answer("SELECT", SELECTED).await) }, async {
        connection.select(&inbox, Mode::Select).await.unwrap();
    });
    let beside = "* 9 EXISTS\r\n* 9 RECENT\r\n";
    let (_, done) =
        tokio::join!(peer.complete("NOOP", beside, "OK [ALERT] Read this"), connection.noop());
    done.unwrap();
    let alerts = vec!["Read this".to_owned()];
    let want = Unsolicited { grown_to: Some(9), alerts, ..Unsolicited::default() };
    assert_eq!(connection.take_unsolicited(), want);

    // What we removed ourselves is no news, and neither is what the former mailbox was told of.
    let (_, done) = tokio::join!(peer.answer("EXPUNGE", "* 1 EXPUNGE\r\n"), connection.expunge());
    done.unwrap();
    assert_eq!(connection.take_unsolicited(), Unsolicited::default());
    peer.send(b"* 20 EXISTS\r\n").await;
    connection.unsolicited().await;
    tokio::join!(async { drop(peer.answer("SELECT", SELECTED).await) }, async {
        connection.select(&inbox, Mode::Select).await.unwrap();
    });
    assert_eq!(connection.take_unsolicited(), Unsolicited::default());
    // A mailbox that is not open has no messages.
    let (_, refused) = tokio::join!(
        peer.complete("SELECT", "", "NO [ALERT] gone"),
        connection.select(&inbox, Mode::Select)
    );
    assert!(refused.is_err() && connection.selected().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_farewell_is_kept_and_a_flood_is_not() {
    let (mut connection, mut peer) = connect("IMAP4rev1").await;
    for number in 0..1000 {
        peer.send(format!("* OK [ALERT] number {number}\r\n").as_bytes()).await;
    }
    peer.send(b"* BYE [UNAVAILABLE] closing for the night\r\n").await;
    let error = connection.noop().await.unwrap_err();
    assert!(error.to_string().contains("closing for the night"), "{error}");
    let said = connection.take_unsolicited();
    assert_eq!(said.alerts.len(), 8);
    assert_eq!(said.farewell.as_deref(), Some("closing for the night"));
}
