//! Intake: which of what came is a message, which is too large, and which is to be asked for again.

use crate::error::Error;
use crate::original::Original;
use crate::receive::collector::Collector;
use crate::receive::decompose::Arrived;
use crate::receive::doubt;
use bytes::Bytes;
use postroom_imap::Fetched;

/// A message that the server announced but did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its UID.
    pub uid: u64,
    /// Why, in words.
    pub reason: String,
    /// Whether it will never be had: larger than the limit.
    pub forever: bool,
    /// The hash of bytes that came, but cannot be all of the message.
    pub hash: Option<[u8; 16]>,
    /// How many bytes it has, where it is too large.
    pub size_bytes: Option<u64>,
    /// Its header, where that was had.
    pub header: Option<Bytes>,
}

impl Missed {
    /// One that is to be asked for again.
    #[must_use]
    pub fn pending(uid: u64, reason: String) -> Self {
        Self { uid, reason, forever: false, hash: None, size_bytes: None, header: None }
    }
}

/// A message that is asked for in other forms.
#[derive(Debug)]
pub struct Doubted {
    /// Its UID.
    pub uid: u64,
    /// Why, in words.
    pub reason: String,
    /// What came, if anything.
    pub came: Option<(Fetched, Original)>,
}

/// Where what comes is sorted.
pub struct Intake<'a> {
    /// Takes what is a message.
    pub collector: Collector<'a>,
    /// Whether messages are deleted at the server once they are recorded.
    deletes: bool,
    /// What could not be had.
    pub missed: Vec<Missed>,
    /// How many messages are not deleted at the server because they may not be whole.
    pub withheld: u64,
    /// What came but cannot be all of the message, or did not come at all.
    pub doubted: Vec<Doubted>,
}

impl<'a> Intake<'a> {
    /// With nothing in it.
    #[must_use]
    pub fn new(collector: Collector<'a>, deletes: bool) -> Self {
        Self { collector, deletes, missed: vec![], withheld: 0, doubted: vec![] }
    }

    /// Takes what came, unless it cannot be all of the message.
    ///
    /// # Errors
    ///
    /// Those of the spool file, or [`Error::Unheard`].
    pub async fn come(&mut self, message: Fetched, uid: u64, body: Original) -> Result<(), Error> {
        match doubt_of(&message, &body)? {
            None => self.take(message, uid, body, true).await,
            Some(reason) => {
                let came = Some((message, body));
                self.doubted.push(Doubted { uid, reason, came });
                Ok(())
            }
        }
    }

    /// Takes a message; `is_whole`: nothing speaks against its bytes being all of it.
    ///
    /// # Errors
    ///
    /// Those of the spool file, or [`Error::Unheard`].
    pub async fn take(
        &mut self,
        message: Fetched,
        uid: u64,
        original: Original,
        is_whole: bool,
    ) -> Result<(), Error> {
        if original.size_bytes() > self.collector.message_bytes_max {
            self.missed.push(Missed { uid, ..too_big(original.size_bytes()) });
            return Ok(());
        }
        let may_be_deleted = is_whole
            && doubt::may_be_deleted(message.size_bytes, &original).map_err(Error::Spool)?;
        self.withheld += u64::from(self.deletes && !may_be_deleted);
        let arrived = Arrived {
            uid,
            flags: message.flags,
            internal_date_ms: message.internal_date_ms,
            size_bytes: message.size_bytes,
            may_be_deleted,
            original,
        };
        self.collector.add(arrived).await
    }

    /// What is doubted stays pending.
    pub fn give_up_doubted(&mut self) {
        let missed = |doubted: Doubted| Missed::pending(doubted.uid, doubted.reason);
        self.missed.extend(self.doubted.drain(..).map(missed));
    }
}

/// Why what came cannot be all of a message; `None`: it may be.
///
/// # Errors
///
/// Those of the spool file.
pub fn doubt_of(message: &Fetched, original: &Original) -> Result<Option<String>, Error> {
    if doubt::notice(original).map_err(Error::Spool)?.is_some() {
        let reason = "the server cannot read the message, and returned a notice instead";
        return Ok(Some(reason.to_owned()));
    }
    Ok(doubt::too_few(message.size_bytes, original.size_bytes()))
}

/// What is said of a message that is too large; it is never asked for again.
#[must_use]
pub fn too_big(size_bytes: u64) -> Missed {
    let reason = format!(
        "the message has {size_bytes} bytes, more than `message_bytes_max`: raise \
                          that option to load it"
    );
    let size_bytes = Some(size_bytes);
    Missed { forever: true, size_bytes, ..Missed::pending(0, reason) }
}
