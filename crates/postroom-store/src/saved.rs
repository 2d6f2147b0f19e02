//! Recognises that an account was saved, so that a refused login is tried again at once.

use crate::oauth_app::AccountTokens;
use postroom_model::Entity;
use postroom_model::builtin::names;
use postroom_model::oauth::TokenSlot;

/// A hash that changes whenever the secrets or the profile of an account are saved, or a client
/// asks to try it at once. It changes even if a secret stays the same, because an encrypted secret
/// has other bytes each time.
/// Tokens are told by the moment of the consent, because Postroom itself replaces them.
pub(crate) fn saved(
    sealed: [Option<&[u8]>; 2],
    account: &Entity,
    profile: &Entity,
    tokens: &[Option<AccountTokens>; 2],
) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    hash.update(&profile.version.to_le_bytes());
    hash.update(account.text(names::TRY_REQUESTED_AT).unwrap_or_default().as_bytes());
    for secret in sealed {
        hash.update(b"|");
        hash.update(secret.unwrap_or_default());
    }
    for (slot, tokens) in TokenSlot::ALL.into_iter().zip(tokens) {
        let Some(tokens) = tokens else { continue };
        hash.update(account.text(slot.consented_at()).unwrap_or("-").as_bytes());
        let app = tokens.app.as_ref().map_or(0, |app| app.app.version);
        hash.update(&app.to_le_bytes());
    }
    let mut saved = [0; 16];
    hash.finalize_xof().fill(&mut saved);
    saved
}
