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

/// What protects a message: encryption counts before signatures.
#[must_use]
pub fn recognise(entities: &[Entity], text: Option<&str>) -> Option<Security> {
    let mut found = text.and_then(in_text);
    for entity in entities {
        let rank = |security: Option<Security>| match security {
            Some(Security::Encrypted) => 3,
            Some(Security::Opaque) => 2,
            Some(Security::Signed) => 1,
            None => 0,
        };
        let here = of_part(entity);
        if rank(here) > rank(found) {
            found = here;
        }
    }
    found
}

fn of_part(entity: &Entity) -> Option<Security> {
    let kind = entity.content.security_type.as_deref();
    match &*entity.content.media_type {
        "multipart/signed" => Some(Security::Signed),
        "multipart/encrypted" | "application/pgp-encrypted" => Some(Security::Encrypted),
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => match kind {
            Some("signed-data" | "signed-receipt") => Some(Security::Opaque),
            Some("certs-only") => None,
            Some(_) => Some(Security::Encrypted),
            // Old software says it by the name alone.
            None if entity
                .content
                .name()
                .is_some_and(|name| name.to_lowercase().ends_with(".p7c")) =>
            {
                None
            }
            None => Some(Security::Encrypted),
        },
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
