//! Recognises each saving of an account, so that a refused login is tried at once after it.

use postroom_model::Entity;
use postroom_model::builtin::names;

/// What tells one saving of an account's secrets and profile from the next: an encrypted secret is
/// another one each time.
pub(crate) fn saved(sealed: [Option<&[u8]>; 2], account: &Entity, profile: &Entity) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(&profile.version.to_le_bytes());
    hash.update(account.text(names::TRY_REQUESTED_AT).unwrap_or_default().as_bytes());
    for secret in sealed {
        hash.update(b"|");
        hash.update(secret.unwrap_or_default());
    }
    let mut saved = [0; 16];
    hash.finalize_xof().fill(&mut saved);
    saved
}
