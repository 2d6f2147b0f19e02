//! Values of a profile that are not understood, so that nothing connects by it.

use postroom_model::Entity;
use postroom_model::builtin::names;
use postroom_model::fingerprint;
use postroom_model::proxy::ProfileProxy;

/// The property of a profile whose value is not understood. REST takes no such value, so it is
/// damaged, or of a later version.
pub(crate) fn unusable(profile: &Entity) -> Option<&'static str> {
    let text = |name| profile.text(name);
    let is_odd = [
        (
            names::TLS_FINGERPRINT,
            text(names::TLS_FINGERPRINT).map(fingerprint::parse).is_some_and(|read| read.is_err()),
        ),
        (
            names::TLS_MINIMUM,
            text(names::TLS_MINIMUM).is_some_and(|it| !["1.2", "1.3"].contains(&it)),
        ),
        (names::PROXY, ProfileProxy::parse(text(names::PROXY)).is_err()),
    ];
    is_odd.into_iter().find(|(_, is_odd)| *is_odd).map(|(name, _)| name)
}
