//! Whether a message is signed or encrypted. Nothing is verified, nothing decrypted.
//!
//! Standards: RFC 1847, RFC 3156 (PGP/MIME), RFC 8551 (S/MIME), RFC 9580 (PGP in texts).

use crate::message::Protection;
use crate::structure::MimeEntity;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// What PGP begins with in a text.
static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-----BEGIN PGP "));
/// How much of a text is searched for it.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// How a message is protected, without S/MIME, which only its content shows.
#[must_use]
pub(crate) fn recognise(entities: &[MimeEntity], text: Option<&str>) -> Option<Protection> {
    let found = entities.iter().filter_map(of_part);
    found.fold(text.and_then(in_text), |found, here| stronger(found, Some(here)))
}

/// Encryption takes precedence over signatures.
#[must_use]
pub(crate) fn stronger(one: Option<Protection>, other: Option<Protection>) -> Option<Protection> {
    let rank = |security: Option<Protection>| match security {
        Some(Protection::Encrypted) => 3,
        Some(Protection::Opaque) => 2,
        Some(Protection::Signed) => 1,
        None => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

fn of_part(entity: &MimeEntity) -> Option<Protection> {
    match &*entity.content.media_type {
        "multipart/signed" => Some(Protection::Signed),
        "multipart/encrypted" | "application/pgp-encrypted" => Some(Protection::Encrypted),
        _ => None,
    }
}

fn in_text(text: &str) -> Option<Protection> {
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    let found = |at: usize| {
        let (before, line) = text.split_at_checked(at)?;
        if !before.is_empty() && !before.ends_with('\n') {
            return None;
        }
        match line.lines().next()?.trim_end() {
            "-----BEGIN PGP MESSAGE-----" => Some(Protection::Encrypted),
            "-----BEGIN PGP SIGNED MESSAGE-----" => Some(Protection::Signed),
            _ => None,
        }
    };
    BEGIN.find_iter(text.as_bytes()).find_map(found)
}
