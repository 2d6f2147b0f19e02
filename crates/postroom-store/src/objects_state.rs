//! Whether S3 does what it is asked, and since when it does not. Each change is logged once.

use object_store::client::HttpError;
use object_store::client::HttpErrorKind;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// A trouble that nobody has met again for so long is forgotten, because it may be over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

/// What S3 is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectsUse {
    /// To give, list or remove objects.
    Read,
    /// To take an object.
    Write,
}

/// Why a request to S3 failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectsFailure {
    /// In words for people. The text of S3 is not repeated, because it may contain an access key.
    pub reason: String,
    /// Whether S3 has not answered, so that any answer shows that this is over. Otherwise it has
    /// refused the request.
    pub is_away: bool,
}

/// What is wrong with the place of large contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsTrouble {
    /// Where it is, as `s3://BUCKET/PREFIX`.
    pub place: String,
    /// What is wrong, in words for people.
    pub reason: String,
    /// How long this has been so.
    pub lasts: Duration,
    /// How long ago a request failed last.
    pub met: Duration,
}

/// Whether S3 does what it is asked.
#[derive(Debug, Default)]
pub(crate) struct ObjectsState(Mutex<Option<NotedTrouble>>);

#[derive(Debug)]
struct NotedTrouble {
    since: Instant,
    last: Instant,
    asked: ObjectsUse,
    failure: ObjectsFailure,
}

impl ObjectsState {
    /// Notes that a request was carried out. A refusal is over only if S3 carries out what it has
    /// refused.
    pub(crate) fn works(&self, place: &str, asked: ObjectsUse) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.take_if(|noted| noted.failure.is_away || noted.asked == asked).is_some() {
            tracing::info!(place, "large contents can be stored and read again");
        }
    }

    /// Notes that a request failed.
    pub(crate) fn failed(&self, place: &str, asked: ObjectsUse, failure: &ObjectsFailure) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = Instant::now();
        if noted.is_none() {
            tracing::warn!(
                place,
                reason = failure.reason,
                "large contents can be neither stored nor read: mail with such contents waits, and \
                 other mail goes on"
            );
        }
        let since = noted.as_ref().map_or(last, |noted| noted.since);
        *noted = Some(NotedTrouble { since, last, asked, failure: failure.clone() });
    }

    /// What is wrong. `None`: nothing is known to be.
    pub(crate) fn trouble(&self, place: &str) -> Option<ObjectsTrouble> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.take_if(|noted| noted.last.elapsed() >= FORGOTTEN_AFTER);
        noted.as_ref().map(|noted| ObjectsTrouble {
            place: place.to_owned(),
            reason: noted.failure.reason.clone(),
            lasts: noted.since.elapsed(),
            met: noted.last.elapsed(),
        })
    }
}

/// What S3 means by 404.
const MISSING: &str = "S3 has no such bucket or object";

impl ObjectsFailure {
    /// S3 has not answered in time.
    pub(crate) fn late() -> Self {
        Self::away("S3 does not answer in time")
    }

    fn away(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_away: true }
    }

    fn refused(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), is_away: false }
    }

    /// Why S3 did not do what it was asked.
    pub(crate) fn of(error: &object_store::Error) -> Self {
        if let object_store::Error::PermissionDenied { .. } = error {
            return Self::refused("S3 refuses these credentials the access");
        }
        if let object_store::Error::Unauthenticated { .. } = error {
            return Self::refused("S3 does not accept the credentials");
        }
        if let object_store::Error::NotFound { .. } = error {
            return Self::refused(MISSING);
        }
        if let Some(kind) = lost(error) {
            return match kind {
                HttpErrorKind::Connect => Self::away("S3 cannot be connected to"),
                HttpErrorKind::Timeout => Self::late(),
                HttpErrorKind::Request | HttpErrorKind::Interrupted => {
                    Self::away("the connection to S3 was lost")
                }
                HttpErrorKind::Decode | HttpErrorKind::Unknown | _ => {
                    Self::away("S3 answers what is no answer")
                }
            };
        }
        // The number of a status holds no secret.
        let text = error.to_string();
        let status = text.split("status code: ").nth(1).map(|rest| rest.chars().take(3));
        match status.map(Iterator::collect::<String>).and_then(|code| code.parse::<u16>().ok()) {
            // Whoever lists a bucket that is missing gets this.
            Some(404) => Self::refused(MISSING),
            Some(code @ 500..) => Self::away(format!("S3 answers with the status {code}")),
            Some(code) => Self::refused(format!("S3 answers with the status {code}")),
            None => Self::refused("S3 cannot be used, or no credentials were found"),
        }
    }
}

/// How the connection failed. `None`: S3 has answered.
pub(crate) fn lost(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if let Some(http) = one.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        cause = one.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_over_when_s3_does_what_it_did_not() {
        let (state, place) = (ObjectsState::default(), "s3://mail");
        let away = ObjectsFailure::late();
        let refused = ObjectsFailure::refused("S3 refuses these credentials the access");
        assert_eq!(state.trouble(place), None);
        state.failed(place, ObjectsUse::Write, &away);
        tokio::time::advance(Duration::from_secs(60)).await;
        state.failed(place, ObjectsUse::Read, &away);
        let trouble = state.trouble(place).unwrap();
        assert_eq!((trouble.lasts.as_secs(), trouble.met.as_secs()), (60, 0));
        state.works(place, ObjectsUse::Write);
        assert_eq!(state.trouble(place), None, "it answers");
        state.failed(place, ObjectsUse::Write, &refused);
        state.works(place, ObjectsUse::Read);
        assert_eq!(state.trouble(place).unwrap().reason, refused.reason, "it takes no object");
        state.works(place, ObjectsUse::Write);
        assert_eq!(state.trouble(place), None);
        state.failed(place, ObjectsUse::Write, &refused);
        tokio::time::advance(FORGOTTEN_AFTER).await;
        assert_eq!(state.trouble(place), None, "nobody has met it for long");
    }
}
