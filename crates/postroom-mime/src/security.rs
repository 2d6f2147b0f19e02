//! Whether a message is signed or encrypted. Nothing is verified, nothing decrypted.
//!
//! Standards: RFC 1847, RFC 3156 (PGP/MIME), RFC 8551 (S/MIME), RFC 9580 (PGP in texts).

use crate::message::Security;
use crate::structure::Entity;
use memchr::memmem::Finder;
use std::sync::LazyLock;

/// What PGP begins with in a text.
static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"-----BEGIN PGP "));
/// How much of a text is searched for it.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What protects a message, but for S/MIME, which its content tells.
#[must_use]
pub fn recognise(entities: &[Entity], text: Option<&str>) -> Option<Security> {
    let found = entities.iter().filter_map(of_part);
    found.fold(text.and_then(in_text), |found, here| stronger(found, Some(here)))
}

/// Encryption counts before signatures.
#[must_use]
pub fn stronger(one: Option<Security>, other: Option<Security>) -> Option<Security> {
    let rank = |security: Option<Security>| match security {
        Some(Security::Encrypted) => 3,
        Some(Security::Opaque) => 2,
        Some(Security::Signed) => 1,
        None => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

fn of_part(entity: &Entity) -> Option<Security> {
    match &*entity.content.media_type {
        "multipart/signed" => Some(Security::Signed),
        "multipart/encrypted" | "application/pgp-encrypted" => Some(Security::Encrypted),
        _ => None,
    }
}

fn in_text(text: &str) -> Option<Security> {
    let text = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    let found = |at: usize| {
        let (before, line) = text.split_at_checked(at)?;
        if !before.is_empty() && !before.ends_with('\n') {
            return None;
        }
        match line.lines().next()?.trim_end() {
            "-----BEGIN PGP MESSAGE-----" => Some(Security::Encrypted),
            "-----BEGIN PGP SIGNED MESSAGE-----" => Some(Security::Signed),
            _ => None,
        }
    };
    BEGIN.find_iter(text.as_bytes()).find_map(found)
}
