//! Fetches one message alone, in one of several forms of FETCH.
//!
//! A server may fail in one form and not in another, because different code of the server answers
//! them.

use crate::error::Error;
use crate::original::Original;
use crate::original::Spool;
use bytes::Bytes;
use postroom_imap::Body;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::Fetched;
use postroom_imap::ImapConnection;
use postroom_imap::UidSet;
use std::path::Path;

/// How a message is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchForm {
    /// `BODY.PEEK[]` by UID.
    Whole,
    /// From the first octet on (RFC 3501 §6.4.5).
    Partial,
    /// By this sequence number.
    Sequence(u32),
    /// `RFC822`, which sets `\Seen` unless the mailbox was opened by EXAMINE.
    Old,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Single {
    /// Octets, which may be the whole message or not.
    Given(Fetched, Original),
    /// None, and why.
    Missed(String),
}

/// Asks for a message.
///
/// # Errors
///
/// What ended the connection, or the spool directory.
pub(crate) async fn ask(
    connection: &mut ImapConnection,
    uid: u64,
    form: FetchForm,
    spool: &Path,
) -> Result<Single, Error> {
    match fetch(connection, uid, form, spool).await {
        Ok(single) => Ok(single),
        Err(Error::Imap(error)) if error.leaves_connection_open() => {
            Ok(Single::Missed(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Asks for the header of a message; `None` where the server does not give it.
///
/// # Errors
///
/// What ended the connection.
pub(crate) async fn header(
    connection: &mut ImapConnection,
    uid: u64,
) -> Result<Option<Bytes>, Error> {
    match header_of(connection, uid).await {
        Ok(header) => Ok(header),
        Err(error) if error.leaves_connection_open() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn header_of(
    connection: &mut ImapConnection,
    uid: u64,
) -> Result<Option<Bytes>, postroom_imap::Error> {
    let set = UidSet::from_uids(&[uid]);
    let mut fetch = connection.uid_fetch(&set, FetchItems::Header).await?;
    let mut header = None;
    while let Some(event) = fetch.next().await? {
        if let FetchEvent::Message(message) = event
            && message.uid == Some(uid)
        {
            header = message.header.or(header);
        }
    }
    Ok(header)
}

async fn fetch(
    connection: &mut ImapConnection,
    uid: u64,
    form: FetchForm,
    directory: &Path,
) -> Result<Single, Error> {
    let set = UidSet::from_uids(&[uid]);
    let mut fetch = match form {
        FetchForm::Whole => connection.uid_fetch(&set, FetchItems::Message).await?,
        FetchForm::Partial => connection.uid_fetch(&set, FetchItems::MessagePartial).await?,
        FetchForm::Old => connection.uid_fetch(&set, FetchItems::MessageOld).await?,
        FetchForm::Sequence(number) => connection.fetch(number, uid, FetchItems::Message).await?,
    };
    let mut spool: Option<Spool> = None;
    let mut single = Single::Missed("the server returns no body".to_owned());
    while let Some(event) = fetch.next().await? {
        match event {
            FetchEvent::BodyStart { .. } => {
                spool = Some(Spool::create(directory).map_err(Error::Spool)?);
            }
            FetchEvent::Chunk(bytes) => {
                if let Some(spool) = &mut spool {
                    spool.write(&bytes).await.map_err(Error::Spool)?;
                }
            }
            FetchEvent::BodyEnd => {}
            FetchEvent::Message(message) => {
                let spool = spool.take();
                let is_it = message.uid == Some(uid) && message.body != Body::Missing;
                if is_it && !matches!(single, Single::Given(..)) {
                    single = given(message, spool).await?;
                }
            }
        }
    }
    Ok(single)
}

async fn given(mut message: Fetched, spool: Option<Spool>) -> Result<Single, Error> {
    let missed = |reason: &str| Ok(Single::Missed(reason.to_owned()));
    match (std::mem::take(&mut message.body), spool) {
        (Body::Bytes(bytes), _) => Ok(Single::Given(message, Original::Memory(bytes))),
        (Body::Streamed, Some(spool)) => {
            let original = spool.finish().await.map_err(Error::Spool)?;
            Ok(Single::Given(message, original))
        }
        (Body::Nil, _) => missed("the server gave NIL for its body"),
        (Body::TooBig { .. }, _) => missed("the message is larger than message_bytes_max"),
        (Body::WrongSize, _) => missed("the server gave another size than it announced"),
        (Body::Streamed | Body::Missing, _) => missed("the server returns no body"),
    }
}
